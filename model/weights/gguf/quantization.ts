/**
 * ggml's tensor formats and their way back to float32, bit for bit as the Python `gguf` package (`gguf/quants.py`; the layouts are
 * `ggml-common.h`'s). Scales are halves and quants at most 8 bits, so every product is exact in a JavaScript number and
 * storing into a Float32Array rounds once, as float32 arithmetic would.
 */
import { bfloatToFloat, HALF, halfToFloat } from '../dtypes.ts';

export interface Quantization {
  readonly name: string;
  /** Values in a block; rows hold whole blocks. */
  readonly blockSize: number;
  readonly blockBytes: number;
  /** `bytes` holds whole blocks, from the start of its buffer. */
  dequantize(bytes: Uint8Array<ArrayBuffer>): Float32Array;
}

/** By ggml's type number. */
export const QUANTIZATIONS: Readonly<Record<number, Quantization>> = {
  0: { name: 'F32', blockSize: 1, blockBytes: 4, dequantize: (bytes) => new Float32Array(bytes.buffer) },
  1: { name: 'F16', blockSize: 1, blockBytes: 2, dequantize: (bytes) => halfToFloat(new Uint16Array(bytes.buffer)) },
  2: blocks('Q4_0', 32, 18, (bytes, at, out, to) => {
    const d = half(bytes, at);
    for (let i = 0; i < 16; i++) {
      const q = bytes[at + 2 + i]!;
      out[to + i] = d * ((q & 15) - 8);
      out[to + 16 + i] = d * ((q >> 4) - 8);
    }
  }),
  3: blocks('Q4_1', 32, 20, (bytes, at, out, to) => {
    const d = half(bytes, at);
    const m = half(bytes, at + 2);
    for (let i = 0; i < 16; i++) {
      const q = bytes[at + 4 + i]!;
      out[to + i] = d * (q & 15) + m;
      out[to + 16 + i] = d * (q >> 4) + m;
    }
  }),
  8: blocks('Q8_0', 32, 34, (bytes, at, out, to) => {
    const d = half(bytes, at);
    for (let i = 0; i < 32; i++) out[to + i] = d * signed(bytes[at + 2 + i]!);
  }),
  12: blocks('Q4_K', 256, 144, (bytes, at, out, to) => {
    const d = half(bytes, at);
    const min = half(bytes, at + 2);
    const scales = at + 4;
    const quants = at + 16;
    for (let group = 0; group < 8; group++) {
      const scale = d * scale6(bytes, scales, group);
      const offset = min * min6(bytes, scales, group);
      const shift = (group & 1) * 4;
      for (let i = 0; i < 32; i++) out[to + group * 32 + i] = scale * ((bytes[quants + (group >> 1) * 32 + i]! >> shift) & 15) - offset;
    }
  }),
  14: blocks('Q6_K', 256, 210, (bytes, at, out, to) => {
    const d = half(bytes, at + 208);
    for (let i = 0; i < 256; i++) {
      // Two halves of 128 values; in each, four rows of 32 share their low nibbles two by two and their high bits four by four.
      const part = i >> 7;
      const row = (i >> 5) & 3;
      const column = i & 31;
      const low = (bytes[at + part * 64 + (row & 1) * 32 + column]! >> ((row >> 1) * 4)) & 15;
      const high = (bytes[at + 128 + part * 32 + column]! >> (row * 2)) & 3;
      out[to + i] = d * signed(bytes[at + 192 + (i >> 4)]!) * ((low | (high << 4)) - 32);
    }
  }),
  30: { name: 'BF16', blockSize: 1, blockBytes: 2, dequantize: (bytes) => bfloatToFloat(new Uint16Array(bytes.buffer)) },
};

type BlockReader = (bytes: Uint8Array, at: number, out: Float32Array, to: number) => void;

function blocks(name: string, blockSize: number, blockBytes: number, readBlock: BlockReader): Quantization {
  return {
    name,
    blockSize,
    blockBytes,
    dequantize(bytes) {
      const count = bytes.length / blockBytes;
      const out = new Float32Array(count * blockSize);
      for (let block = 0; block < count; block++) readBlock(bytes, block * blockBytes, out, block * blockSize);
      return out;
    },
  };
}

function half(bytes: Uint8Array, at: number): number {
  return HALF[bytes[at]! | (bytes[at + 1]! << 8)]!;
}

function signed(byte: number): number {
  return (byte << 24) >> 24;
}

/** The K-quants' eight 6-bit scales in 12 bytes: four whole ones, four in nibbles and the spare high bits (`get_scale_min_k4`). */
function scale6(bytes: Uint8Array, scales: number, group: number): number {
  if (group < 4) return bytes[scales + group]! & 63;
  return (bytes[scales + group + 4]! & 15) | ((bytes[scales + group - 4]! >> 6) << 4);
}

function min6(bytes: Uint8Array, scales: number, group: number): number {
  if (group < 4) return bytes[scales + group + 4]! & 63;
  return (bytes[scales + group + 4]! >> 4) | ((bytes[scales + group]! >> 6) << 4);
}
