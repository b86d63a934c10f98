/** Products with weights of 8 bits, for serving. One kernel, which has no gradient. */
import { node1, apply, type Op } from '../op.ts';
import { dimOf, formatShape, GraphError, type Value } from '../value.ts';

const ZERO = 128;
const LARGEST = 127;

/** One row-major matrix `[out, in]` in 8 bits. */
export interface QuantizedMatrix {
  /** uint8 `[out, in / block, block]`: 128 + w / scale, rounded. */
  readonly values: Uint8Array;
  /** `[out, in / block]`: a 127th of the largest |w| of each block. */
  readonly scales: Float32Array;
}

/** To the nearest of 255 values per block; the largest errors are half a scale. @param weights whole blocks of `size` */
export function quantize(weights: Float32Array, size: number): QuantizedMatrix {
  const values = new Uint8Array(weights.length);
  const scales = new Float32Array(weights.length / size);
  for (let block = 0; block < scales.length; block++) {
    const from = block * size;
    let largest = 0;
    for (let i = from; i < from + size; i++) largest = Math.max(largest, Math.abs(weights[i] ?? 0));
    const scale = Math.fround(largest / LARGEST);
    scales[block] = scale;
    for (let i = from; i < from + size; i++) values[i] = ZERO + (scale === 0 ? 0 : Math.round((weights[i] ?? 0) / scale));
  }
  return { values, scales };
}

type QuantizedProduct = Op<readonly [x: Value, values: Value, scales: Value], readonly [Value]>;

const quantizedProductOp: QuantizedProduct = {
  name: 'MatMulNBits',
  emit: ([x, values, scales]) => {
    const [out = 0, blocks = 0, block = 0] = values.shape;
    const inner = Number(blocks) * Number(block);
    if (dimOf(x, -1) !== inner) throw new GraphError(`MatMulNBits of ${formatShape(x.shape)} and ${formatShape(values.shape)}`);
    const attributes = { K: inner, N: Number(out), bits: 8, block_size: Number(block), accuracy_level: 4 };
    return [node1('MatMulNBits', [x, values, scales], { dtype: 'float32', shape: [...x.shape.slice(0, -1), out] }, attributes, 'com.microsoft')];
  },
  gradient: null,
};

/**
 * x `[N, in]` times W' of a `QuantizedMatrix`, `[N, out]`. At this accuracy level x is rounded to 8 bits as well, block by block.
 * https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits
 */
export const quantizedProduct = (x: Value, values: Value, scales: Value): Value => apply(quantizedProductOp, [x, values, scales], undefined)[0];
