import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { Tail } from '../../../cli/runner/tail.ts';

test('the tail is the end of the text, whatever the chunks, and never half a character', () => {
  fc.assert(fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 1, max: 40 }), fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), (text, maxBytes, sizes) => {
    const bytes = Buffer.from(text);
    const tail = new Tail(maxBytes);
    for (let at = 0, i = 0; at < bytes.length; i++) {
      const size = sizes[i % sizes.length] ?? 1;
      tail.push(bytes.subarray(at, at + size));
      at += size;
    }
    const kept = tail.text();
    assert.ok(text.endsWith(kept));
    const size = Buffer.byteLength(kept);
    assert.ok(size <= maxBytes);
    assert.ok(size > Math.min(bytes.length, maxBytes) - 4, 'at most the bytes of one cut character are missing');
  }));
});
