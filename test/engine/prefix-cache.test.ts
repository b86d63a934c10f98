import assert from 'node:assert/strict';
import { test } from 'node:test';
import { array, assert as check, boolean, constantFrom, integer, property, record } from 'fast-check';
import { KvCache } from '../../engine/kv.ts';
import { PrefixCache } from '../../engine/prefix-cache.ts';

const shape = { layers: 2, kvHeads: 2, headDim: 2 };
const BLOCK_BYTES = 4 * 2 * 16 * 2 * 4;
const LONGEST = 60;

/** What a position holds is a function of the text up to it, its version, and how it was computed. */
function fill(cache: KvCache, row: number, version: number, text: readonly number[], read: number): void {
  cache.buffers.forEach((buffer, index) => {
    for (let head = 0; head < 2; head++) {
      let hash = version + 1;
      for (const [position, token] of text.entries()) {
        hash = (hash * 31 + token) % 1_000_003;
        const at = ((row * 2 + head) * cache.positions + position) * 2;
        buffer.fill(hash + 1e6 * (index * 2 + head) + (position < read ? 0 : 0.5), at, at + 2);
      }
    }
  });
}

function newCache(): KvCache {
  const cache = new KvCache(shape, LONGEST);
  cache.reserve(2, LONGEST, []);
  return cache;
}

/** Of a row, apart from whether it was read or generated. */
const whole = (cache: KvCache, row: number, length: number): number[] =>
  Array.from({ length: 4 }, (_, buffer) => [0, 1].flatMap((head) => [...cache.view(buffer, row, 1).subarray(head * LONGEST * 2, (head * LONGEST + length) * 2)])).flat().map(Math.floor);

const texts = array(integer({ min: 0, max: 2 }), { minLength: 1, maxLength: LONGEST });
const steps = array(record({ version: constantFrom(0, 1), text: texts, generated: integer({ min: 0, max: 30 }), ends: boolean(), drops: integer({ min: 0, max: 20 }) }), { maxLength: 30 });

await test('finds the longest prefix that brute force finds, with the numbers that were stored under it', () => {
  check(property(steps, constantFrom(Infinity, 6 * BLOCK_BYTES, BLOCK_BYTES, 0), boolean(), (all, memory, onlyRead) => {
    const prefixes = new PrefixCache(shape, memory);
    const cache = newCache();
    let stored: { version: number; text: readonly number[]; read: number }[] = [];
    for (const { version, text, generated, ends, drops } of all) {
      const found = prefixes.find(version, Int32Array.from(text), onlyRead);
      const common = stored.filter((other) => other.version === version).map((other) => {
        const limit = onlyRead ? other.read : other.text.length;
        const differs = text.findIndex((token, i) => i >= limit || token !== other.text[i]);
        return differs < 0 ? text.length : differs;
      });
      const longest = Math.max(0, ...common);
      if (memory === Infinity && !found.logits) assert.equal(found.length, Math.max(Math.min(longest, text.length - 2), 0));
      assert.ok(found.length <= longest && (found.logits ? found.length === text.length : found.length <= Math.max(text.length - 2, 0)));
      prefixes.load(found, cache, 1);
      const expected = newCache();
      fill(expected, 1, version, text, 0);
      assert.deepEqual(whole(cache, 1, found.length), whole(expected, 1, found.length));
      if (onlyRead) assert.ok(found.read === found.length && cache.view(0, 1, 1).subarray(0, found.length * 2).every(Number.isInteger));
      if (found.logits) assert.deepEqual([...found.logits], [version, ...text]);

      const read = Math.max(text.length - generated, 0);
      fill(cache, 0, version, text, read);
      prefixes.store({ version, tokenIds: Int32Array.from(text), cache, row: 0, read, logits: ends && read === text.length ? Float32Array.of(version, ...text) : null });
      stored.push({ version, text, read });
      if (drops === 0) {
        prefixes.drop(version);
        stored = stored.filter((other) => other.version !== version);
      }
      assert.ok(prefixes.bytes <= memory);
    }
  }), { numRuns: 300 });
});

await test('what was used last stays', () => {
  const prefixes = new PrefixCache(shape, 5 * BLOCK_BYTES); // four blocks, and logits
  const cache = newCache();
  const text = (first: number): Int32Array => new Int32Array(32).fill(first);
  const store = (first: number): void => { prefixes.store({ version: 0, tokenIds: text(first), cache, row: 0, read: 32, logits: null }); };
  const known = (first: number): number => prefixes.find(0, Int32Array.of(...text(first), 9, 9), false).length;
  store(1);
  store(2);
  assert.deepEqual([known(2), known(1)], [32, 32]);
  store(3);
  assert.deepEqual([known(1), known(2), known(3)], [32, 0, 32]);
  prefixes.store({ version: 0, tokenIds: text(3).subarray(0, 20), cache, row: 0, read: 20, logits: null });
  assert.equal(known(3), 32, 'a part of what is known takes no memory');
});

await test('a text that does not fit is kept as far as it does', () => {
  const prefixes = new PrefixCache(shape, 3 * BLOCK_BYTES); // two blocks, and logits
  const cache = newCache();
  const text = Int32Array.from({ length: 50 }, (_, i) => i);
  prefixes.store({ version: 0, tokenIds: text, cache, row: 0, read: 50, logits: new Float32Array(9) });
  assert.equal(prefixes.find(0, text, false).length, 32);
});
