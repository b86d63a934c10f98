/** The weights of linear layers in 8 bits, in a file beside the float32 ones. */
import { openBlob, type BlobTensor } from '../model/graph/weight-blob.ts';
import { canQuantize, quantize, quantizedProduct, QUANTIZED_BLOCK, type QuantizedMatrix } from '../model/graph/ops/quantized-product.ts';
import type { Graph, Value } from '../model/graph/index.ts';
import type { Weights } from '../model/model.ts';

export interface QuantizedWeights {
  readonly bytes: number;
  /** x `[N, in]` times the weight of that name, `[N, out]`; null for one that stays as it is, since its rows are not whole blocks. */
  product(x: Value, name: string): Value | null;
}

/** @param names the matrices to quantize, `[out, in]` */
export async function openQuantizedWeights(directory: string, weights: Weights, names: readonly string[]): Promise<QuantizedWeights> {
  const quantizable = names.filter((name) => canQuantize(weights.shape(name)[1] ?? 1));
  const blob = await openBlob(directory, 'weights.int8.bin', quantizable.flatMap((name) => tensorsOf(weights, name)));
  const known = new WeakMap<Graph, Map<string, Value>>();
  const once = (graph: Graph, name: string): Value => {
    const values = known.get(graph) ?? new Map<string, Value>();
    known.set(graph, values);
    const value = values.get(name) ?? blob.in(graph, name);
    values.set(name, value);
    return value;
  };
  return {
    bytes: blob.bytes,
    product: (x, name) => (quantizable.includes(name) ? quantizedProduct(x, once(x.graph, valuesName(name)), once(x.graph, scalesName(name))) : null),
  };
}

const valuesName = (name: string): string => `${name}.int8`;
const scalesName = (name: string): string => `${name}.scale`;

/** Values, then scales: they are read in this order, and quantized once. */
function tensorsOf(weights: Weights, name: string): readonly BlobTensor[] {
  const [out = 0, inner = 0] = weights.shape(name);
  const blocks = inner / QUANTIZED_BLOCK;
  let quantized: QuantizedMatrix | null = null;
  return [
    { name: valuesName(name), dtype: 'uint8', shape: [out, blocks, QUANTIZED_BLOCK], read: () => { quantized = quantize(weights.read(name).data); return quantized.values; } },
    { name: scalesName(name), dtype: 'float32', shape: [out, blocks], read: () => {
      const { scales } = quantized ?? quantize(weights.read(name).data);
      quantized = null;
      return scales;
    } },
  ];
}
