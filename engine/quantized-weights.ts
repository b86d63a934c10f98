/** The weights of linear layers in 8 bits, in a file beside the float32 ones. */
import type { Graph, Value } from '../model/graph/index.ts';
import { quantize, quantizedProduct, type QuantizedMatrix } from '../model/graph/ops/quantized-product.ts';
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
  const has = (matrix: JointMatrix): boolean => blockOf(matrix) !== undefined;
  const blob = await openBlob(directory, 'weights.int8.bin', matrices.flatMap((matrix) => {
    const block = blockOf(matrix);
    return block === undefined ? [] : tensorsOf(weights, matrix, block);
  }));
  return {
    bytes: blob.bytes,
    has,
    product: (graph, x, matrix) => quantizedProduct(x, blob.in(graph, valuesName(matrix)), blob.in(graph, scalesName(matrix))),
  };
}

/**
 * How many weights, and how many of the numbers they multiply, share a scale; undefined where no block fits. The kernel for 64 takes a fifth less time than that for 32. But what layers add to lies around a few
 * outliers, and a projection that reads it loses more by a coarser scale: with 64 everywhere log-probs of SmolLM2 are off by 0.102 on average, with 32 there by 0.083, with 32 everywhere by 0.076.
 */
const blockOf = ({ kind, inner }: JointMatrix): number | undefined => (READS_RESIDUAL.has(kind) ? [32] : [64, 32]).find((block) => inner % block === 0);

const READS_RESIDUAL: ReadonlySet<string> = new Set(['q_proj', 'gate_proj']);

const valuesName = ({ name }: JointMatrix): string => `${name}.int8`;
const scalesName = ({ name }: JointMatrix): string => `${name}.scale`;

/** Values, then scales: they are read in this order, and quantized once. */
function tensorsOf(weights: Weights, matrix: JointMatrix, block: number): readonly BlobTensor[] {
  const rows = rowsOf(matrix);
  const blocks = matrix.inner / block;
  const read = (): QuantizedMatrix => {
    const joint = new Float32Array(rows * matrix.inner);
    let at = 0;
    for (const name of matrix.parts.keys()) {
      const { data } = weights.read(name);
      joint.set(data, at);
      at += data.length;
    }
    return quantize(joint, block);
  };
  let quantized: QuantizedMatrix | null = null;
  return [
    { name: valuesName(matrix), dtype: 'uint8', shape: [rows, blocks, block], read: () => { quantized = read(); return quantized.values; } },
    { name: scalesName(matrix), dtype: 'float32', shape: [rows, blocks], read: () => {
      const { scales } = quantized ?? read();
      quantized = null;
      return scales;
    } },
  ];
}
