import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bucket, copyRow, KvCache } from '../../engine/kv.ts';

const shape = { layers: 2, kvHeads: 3, headDim: 4 };

/** Writes a number that names buffer, row, head, position and dimension into the first `length` positions. */
function fill(cache: KvCache, row: number, length: number, tag = 0): void {
  for (let buffer = 0; buffer < 4; buffer++) {
    const view = cache.view(buffer, row, 1);
    for (let head = 0; head < 3; head++) {
      for (let at = 0; at < length * 4; at++) view[head * cache.positions * 4 + at] = code(buffer, tag, head, at);
    }
  }
}
const code = (buffer: number, tag: number, head: number, at: number) => ((buffer * 10 + tag) * 10 + head) * 1000 + at;

function holds(cache: KvCache, row: number, length: number, tag: number): boolean {
  for (let buffer = 0; buffer < 4; buffer++) {
    const view = cache.view(buffer, row, 1);
    for (let head = 0; head < 3; head++) {
      for (let at = 0; at < length * 4; at++) if (view[head * cache.positions * 4 + at] !== code(buffer, tag, head, at)) return false;
    }
  }
  return true;
}

await test('buckets are powers of two, capped by the context', () => {
  assert.deepEqual([1, 128, 129, 300, 900, 1025].map((positions) => bucket(positions, 1000)), [128, 128, 256, 512, 1000, 1025]);
});

await test('growing keeps what rows hold, in both dimensions', () => {
  const cache = new KvCache(shape, 400);
  assert.equal(cache.bytes, 0);
  cache.reserve(1, 100, []);
  assert.deepEqual([cache.rows, cache.positions], [1, 128]);
  fill(cache, 0, 100, 1);
  cache.reserve(2, 100, [100]);
  fill(cache, 1, 128, 2);
  cache.reserve(3, 129, [100, 128]);
  assert.deepEqual([cache.rows, cache.positions], [4, 256]);
  assert.ok(holds(cache, 0, 100, 1));
  assert.ok(holds(cache, 1, 128, 2));
  assert.equal(cache.bytes, 4 * 4 * 3 * 256 * 4 * 4);
  const before = cache.buffers;
  cache.reserve(4, 256, [100, 128]);
  assert.equal(cache.buffers, before, 'nothing to do');
  cache.reserve(1, 300, [100, 128]);
  assert.equal(cache.positions, 400);
  cache.clear();
  assert.equal(cache.bytes, 0);
});

await test('rows are copied by prefix, within a cache and between caches of different size', () => {
  const cache = new KvCache(shape, 512);
  cache.reserve(3, 200, []);
  fill(cache, 0, 200, 1);
  fill(cache, 2, 200, 3);
  copyRow(cache, 0, cache, 1, 150);
  assert.ok(holds(cache, 1, 150, 1) && !holds(cache, 1, 151, 1));
  assert.ok(holds(cache, 2, 200, 3), 'the neighbour is untouched');
  const other = new KvCache(shape, 512);
  other.reserve(1, 400, []);
  copyRow(cache, 2, other, 0, 200);
  assert.ok(holds(other, 0, 200, 3));
});

await test('a view is the cache\'s own memory', () => {
  const cache = new KvCache(shape, 512);
  cache.reserve(2, 128, []);
  const both = cache.view(1, 0, 2);
  assert.equal(both.length, 2 * 3 * 128 * 4);
  cache.view(1, 1, 1)[0] = 7;
  assert.equal(both[3 * 128 * 4], 7);
});
