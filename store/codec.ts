/** How arrays and bodies lie in blobs: int32 and float32 little-endian, zstd-compressed UTF-8. */
import { endianness } from 'node:os';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { StoreError } from './errors.ts';

/** `[n]` token ids → 4n bytes. */
export function encodeIds(ids: Int32Array): Buffer {
  return bytesOf(ids);
}

/** `[n]` natural log-probs → 4n bytes. */
export function encodeLogprobs(logprobs: Float32Array): Buffer {
  return bytesOf(logprobs);
}

export function decodeIds(blob: Uint8Array): Int32Array {
  const bytes = alignedBytes(blob);
  return new Int32Array(bytes.buffer, 0, bytes.byteLength / 4);
}

export function decodeLogprobs(blob: Uint8Array): Float32Array {
  const bytes = alignedBytes(blob);
  return new Float32Array(bytes.buffer, 0, bytes.byteLength / 4);
}

/** Level 1: bodies are small, and the writer thread's time is worth more than the last few per cent. */
const level = { [constants.ZSTD_c_compressionLevel]: 1 };
/** The most that zstd adds to bytes that it cannot compress, with room to spare (ZSTD_compressBound). */
const zstdOverhead = 1024;

/** @param like a body that has much in common with this one: what is in it takes no room, and it is needed to read this one */
export function compressBody(body: string | Uint8Array, like?: Uint8Array): Buffer {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  // One output buffer of about the right size instead of zlib's 16 KiB: most bodies are smaller, and each call allocates it.
  return zstdCompressSync(bytes, { params: level, chunkSize: Math.ceil(bytes.byteLength * 1.01) + zstdOverhead, dictionary: like });
}

/** UTF-8. @param like what it was compressed with */
export function decompressBody(blob: Uint8Array, like?: Uint8Array): Buffer {
  return zstdDecompressSync(blob, { dictionary: like });
}

const isLittleEndian = endianness() === 'LE';

/** A view on the array's memory; SQLite copies it when it binds. */
function bytesOf(array: Int32Array | Float32Array): Buffer {
  const bytes = Buffer.from(array.buffer, array.byteOffset, array.byteLength);
  return isLittleEndian ? bytes : Buffer.from(bytes).swap32();
}

/** A copy that starts at a multiple of four (SQLite's buffers need not), in the machine's byte order. */
function alignedBytes(blob: Uint8Array): Uint8Array<ArrayBuffer> {
  if (blob.byteLength % 4 !== 0) throw new StoreError('corrupt', `A blob of 4-byte numbers has ${blob.byteLength} bytes.`);
  const copy = new Uint8Array(blob);
  if (!isLittleEndian) Buffer.from(copy.buffer).swap32();
  return copy;
}
