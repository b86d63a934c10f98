import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { utf8Texts } from '../../../engine/grammar/utf8.ts';

/** Tokens 0 to 255 are bytes, then some of more than one, at last one that is no text. */
const longer = ['é', '日本', '😀', 'a\n'].map((text) => new TextEncoder().encode(text));
const tokens = [...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)), ...longer, longer[1]?.subarray(1, 5) ?? new Uint8Array(), longer[2]?.subarray(2) ?? new Uint8Array(), new Uint8Array()];
const newText = utf8Texts((id) => tokens[id] ?? new Uint8Array(), tokens.length);

test('a token may follow if and only if the bytes can still become UTF-8', () => {
  const isPrefix = (bytes: readonly number[]): boolean => {
    // Some ending of up to three followers makes it whole.
    const endings = [[], [0x80], [0xbf], [0x90], [0x80, 0x80], [0xbf, 0x80], [0x90, 0x80], [0x80, 0x80, 0x80], [0x90, 0x80, 0x80]];
    return endings.some((ending) => {
      try {
        new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Uint8Array.of(...bytes, ...ending));
        return true;
      } catch {
        return false;
      }
    });
  };
  fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: tokens.length - 1 }), { maxLength: 6 }), (wanted) => {
    const text = newText();
    const bytes: number[] = [];
    for (const id of wanted) {
      const mask = new Int32Array(Math.ceil(tokens.length / 32)).fill(-1);
      text.restrict(mask);
      const next = [...bytes, ...tokens[id] ?? []];
      const isAllowed = ((mask[id >> 5] ?? 0) >>> (id & 31) & 1) === 1;
      assert.equal(isAllowed, isPrefix(next), next.join(' '));
      if (!isAllowed) continue;
      text.accept(id);
      bytes.push(...tokens[id] ?? []);
    }
  }), { numRuns: 2000 });
});
