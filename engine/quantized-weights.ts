/** The weights of linear layers in 8 bits, in a file beside the float32 ones. */
import type { Graph, Value } from '../model/graph/index.ts';
import { canQuantize, quantize, quantizedProduct, QUANTIZED_BLOCK, type QuantizedMatrix } from '../model/graph/ops/quantized-product.ts';
import { openBlob, type BlobTensor } from '../model/graph/weight-blob.ts';
import type { Weights } from '../model/model.ts';
import { rowsOf, type JointMatrix } from './joint-matrices.ts';

export interface QuantizedWeights {
  readonly bytes: number;
  /** Those that are in 8 bits. Others stay as they are: their rows are not whole blocks. */
  has(matrix: JointMatrix): boolean;
  /** x `[N, in]` times Wᵀ, `[N, Σ out]`. Ask once per graph and matrix. */
  product(graph: Graph, x: Value, matrix: JointMatrix): Value;
}

export async function openQuantizedWeights(directory: string, weights: Weights, matrices: readonly JointMatrix[]): Promise<QuantizedWeights> {
  const has = ({ inner }: JointMatrix): boolean => canQuantize(inner);
  const blob = await openBlob(directory, 'weights.int8.bin', matrices.filter(has).flatMap((matrix) => tensorsOf(weights, matrix)));
  return {
    bytes: blob.bytes,
    has,
    product: (graph, x, matrix) => quantizedProduct(x, blob.in(graph, valuesName(matrix)), blob.in(graph, scalesName(matrix))),
  };
}

const valuesName = ({ name }: JointMatrix): string => `${name}.int8`;
const scalesName = ({ name }: JointMatrix): string => `${name}.scale`;

/** Values, then scales: they are read in this order, and quantized once. */
function tensorsOf(weights: Weights, matrix: JointMatrix): readonly BlobTensor[] {
  const rows = rowsOf(matrix);
  const blocks = matrix.inner / QUANTIZED_BLOCK;
  const read = (): QuantizedMatrix => {
    const joint = new Float32Array(rows * matrix.inner);
    let at = 0;
    for (const name of matrix.parts.keys()) {
      const { data } = weights.read(name);
      joint.set(data, at);
      at += data.length;
    }
    return quantize(joint);
  };
  let quantized: QuantizedMatrix | null = null;
  return [
    { name: valuesName(matrix), dtype: 'uint8', shape: [rows, blocks, QUANTIZED_BLOCK], read: () => { quantized = read(); return quantized.values; } },
    { name: scalesName(matrix), dtype: 'float32', shape: [rows, blocks], read: () => {
      const { scales } = quantized ?? read();
      quantized = null;
      return scales;
    } },
  ];
}
