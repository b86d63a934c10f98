import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { compressBody, decodeIds, decodeLogprobs, decompressBody, encodeIds, encodeLogprobs } from '../../store/codec.ts';
import { StoreError } from '../../store/errors.ts';

describe('blobs', () => {
  it('ids come back as they were, from any position in memory', () => {
    fc.assert(fc.property(fc.int32Array(), fc.nat(3), (ids, shift) => {
      const shifted = new Uint8Array(ids.byteLength + shift);
      shifted.set(encodeIds(ids), shift);
      assert.deepEqual(decodeIds(shifted.subarray(shift)), ids);
    }));
  });

  it('log-probs come back as they were, NaN and infinities too', () => {
    fc.assert(fc.property(fc.float32Array(), (logprobs) => { assert.deepEqual(decodeLogprobs(encodeLogprobs(logprobs)), logprobs); }));
  });

  it('are little-endian, 4 bytes a number', () => {
    assert.deepEqual([...encodeIds(Int32Array.of(1, -2))], [1, 0, 0, 0, 254, 255, 255, 255]);
    assert.deepEqual([...encodeLogprobs(Float32Array.of(-0.5))], [0, 0, 0, 0xbf]);
  });

  it('encode only the view, not the buffer under it', () => {
    assert.equal(encodeIds(Int32Array.of(1, 2, 3).subarray(1, 2)).byteLength, 4);
  });

  it('a blob of another length is corrupt', () => {
    assert.throws(() => decodeIds(new Uint8Array(6)), (error) => error instanceof StoreError && error.code === 'corrupt');
  });
});

describe('bodies', () => {
  it('come back as they were, whatever their size', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 5000 }), (body) => { assert.equal(decompressBody(compressBody(body)).toString(), body); }));
  });

  it('that cannot be compressed fit too', () => {
    const random = Buffer.from(crypto.getRandomValues(new Uint8Array(60_000))).toString('base64');
    assert.equal(decompressBody(compressBody(random)).toString(), random);
  });

  it('are smaller than JSON text', () => {
    const text = JSON.stringify(Array.from({ length: 100 }, (_, i) => ({ role: 'user', content: `message ${i}` })));
    assert.ok(compressBody(text).byteLength < text.length / 4);
  });
});
