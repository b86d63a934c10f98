/** The number formats of weight files, little-endian, and their conversion from and to float32. */
import { ModelError } from '../error.ts';

export const DTYPE_BYTES = { F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, I16: 2, I8: 1, U8: 1, BOOL: 1 } as const;

export type Dtype = keyof typeof DTYPE_BYTES;

export function isDtype(name: string): name is Dtype {
  return Object.hasOwn(DTYPE_BYTES, name);
}

/** Little-endian bytes of `dtype` as float32 values. F64 is rounded; integers are refused. */
export function floatsFromBytes(bytes: Uint8Array, dtype: Dtype): Float32Array {
  const count = bytes.byteLength / DTYPE_BYTES[dtype];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (dtype) {
    case 'F32':
      return new Float32Array(ownBuffer(bytes), 0, count);
    case 'F64':
      return Float32Array.from({ length: count }, (_, i) => view.getFloat64(i * 8, true));
    case 'F16':
      return halfToFloat(new Uint16Array(ownBuffer(bytes), 0, count));
    case 'BF16':
      return bfloatToFloat(new Uint16Array(ownBuffer(bytes), 0, count));
    default:
      throw new ModelError('unsupported', `A tensor of integers (${dtype}) cannot be read as floats.`);
  }
}

/** Float32 values as little-endian bytes of a float `dtype`, rounded to nearest even. */
export function bytesFromFloats(values: Float32Array, dtype: 'F32' | 'F16' | 'BF16'): Uint8Array {
  if (dtype === 'F32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const bits = new Uint32Array(values.slice().buffer);
  const rounded = Uint16Array.from(bits, dtype === 'F16' ? halfBits : bfloatBits);
  return new Uint8Array(rounded.buffer);
}

export function halfToFloat(halves: Uint16Array): Float32Array {
  const out = new Float32Array(halves.length);
  for (let i = 0; i < out.length; i++) out[i] = HALF[halves[i]!]!;
  return out;
}

export function bfloatToFloat(values: Uint16Array): Float32Array {
  const bits = new Uint32Array(values.length);
  for (let i = 0; i < bits.length; i++) bits[i] = values[i]! << 16;
  return new Float32Array(bits.buffer);
}

/** All 65,536 half-precision values: a table is several times faster than taking bits apart (Float16Array needs Node 24). */
export const HALF: Float32Array = Float32Array.from({ length: 65536 }, (_, bits) => {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
});

/** IEEE 754 binary16 bits nearest to the float32 with these bits (ties to even). */
function halfBits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00; // NaN
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // rounds to infinity
  if (magnitude < 0x38800000) {
    // Subnormal: the value in units of 2^-24. Below 2^53 the scaling is exact, so one rounding is made.
    const value = (magnitude >>> 23 === 0 ? 0 : ((magnitude & 0x7fffff) | 0x800000) * 2 ** ((magnitude >>> 23) - 150)) * 2 ** 24;
    return sign | roundEven(value);
  }
  const kept = (magnitude - 0x38000000) >>> 13;
  return sign | (kept + roundUp(magnitude & 0x1fff, 0x1000, kept));
}

function bfloatBits(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40; // keep NaN a NaN
  const kept = bits >>> 16;
  return kept + roundUp(bits & 0xffff, 0x8000, kept);
}

function roundUp(rest: number, half: number, kept: number): 0 | 1 {
  return rest > half || (rest === half && (kept & 1) === 1) ? 1 : 0;
}

function roundEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return floor + (rest > 0.5 || (rest === 0.5 && (floor & 1) === 1) ? 1 : 0);
}

/** The bytes at the start of a buffer of their own: typed arrays need aligned offsets. */
function ownBuffer(bytes: Uint8Array): ArrayBuffer {
  return bytes.byteOffset === 0 && bytes.buffer instanceof ArrayBuffer ? bytes.buffer : bytes.slice().buffer;
}
