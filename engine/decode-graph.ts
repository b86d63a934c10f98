/**
 * The graph of one step: new tokens of every row in, logits after each row's last token out, keys and values appended to the cache
 * in place. There are several of them, which differ in how they multiply: one reads a prompt (batch 1, many tokens), others decode (many rows, one token).
 */
import { architectures, type Forward } from '../model/architectures/index.ts';
import { linear } from '../model/architectures/linear.ts';
import { add, cachedHeadDim, canJoin, canRotate, cast, encodeModel, gather, gemm, Graph, GraphError, groupedQueryAttention, concat, joinResidualNorms, matmul, mul, reduceSum, reshape, reshapeTo, rotary, shapeOf, softmax, split, transpose, where, type CachedAttentionInputs, type Value } from '../model/graph/index.ts';
import type { WeightBlob } from '../model/graph/weight-blob.ts';
import type { ModelConfig } from '../model/model.ts';
import { ropesOf, ropeTables, type RopeTable } from '../model/rope.ts';
import { adaptedMatrices, jointMatrices, rowsOf, type JointMatrix } from './joint-matrices.ts';
import type { KvShape } from './kv.ts';
import type { QuantizedWeights } from './quantized-weights.ts';
import type { TensorViews } from './session/session.ts';
import { outputNames, probabilityBlock } from './step-output.ts';

/** Names of the graph's inputs, and of its outputs beside `outputNames`; those of the cache count from 0 in the order of `KvCache.buffers`. */
export const names = {
  /** int64 `[batch, time]`. */
  tokenIds: 'token_ids',
  /** int64 `[batch, time]`: the tokens' positions; not an input of every model. */
  positions: 'positions',
  /** int32 `[batch]`: each row's tokens after this step, minus one. */
  lastPosition: 'last_position',
  /** int32 `[]`: the longest row's tokens after this step. */
  longest: 'longest',
  /** int64 `[batch]`: which of the batch·time tokens get logits. */
  wanted: 'wanted',
  /** float32 `[batch, 1]`: what each row's logits are multiplied by before probabilities are made of them. */
  inverseTemperature: 'inverse_temperature',
  past: (buffer: number) => `past_${buffer}`,
  present: (buffer: number) => `present_${buffer}`,
  /** float32 `[rank, in]`. */
  loraA: ({ name }: JointMatrix) => `lora_a.${name}`,
  /** float32 `[rank, Σ out]`: `LORA_B_SCALE` Bᵀ, alpha multiplied in. */
  loraB: ({ name }: JointMatrix) => `lora_b.${name}`,
  /** int32 `[rank, batch]` for the matrices of a kind: 0 where a rank is another row's adapter's. */
  rowMask: (kind: string) => `row_mask.${kind}`,
};

/**
 * `prompt`: tokens times weights. The runtime keeps a copy of the weights in an order that suits many tokens, and a token's result does not depend on how many are read with it.
 * `decode`: weights times tokens, transposed back. Weights are inputs, as they lie, and read once whatever the batch, which is up to twice as fast for a few rows; up to `MAX_BATCH` of
 * them, a row's result does not depend on the batch. For more the runtime would sum in other blocks. One or two rows that need not have the digits they have among others are computed as a prompt is.
 * `mixed`: decoding with the ranks of several adapters, of which each row keeps its own. The others' are zeros then, which change no sum of up to 1,024 ranks: so a row's result does not depend
 * on whose adapters are there.
 */
export type Phase = 'prompt' | 'decode' | 'mixed';

/** Most rows of a decode step whose results are those of a row alone. */
export const MAX_BATCH = 16;

/** Most tokens of a prompt that are read in one run. */
export const MAX_PIECE = 256;

/** Scores of all keys at once are kept up to this size; prompts of models with many heads and a long context are read in tiles. */
const MAX_SCORE_BYTES = 64 * 1024 * 1024;

/**
 * Products of adapters are taken twice: with a factor, the runtime computes a row alone as it does among others. (Without, one row has a kernel of its own, which sums in another order.) A power of two
 * changes no digit, so what B has less makes it even.
 */
const TWICE = 2;
export const LORA_B_SCALE = 1 / TWICE ** 2;

/** What a cache for this model's keys and values holds. */
export const cacheShape = ({ layers, kvHeads, headDim }: ModelConfig): KvShape => ({ layers, kvHeads, headDim: cachedHeadDim(headDim) });

/** Where a graph finds its weights. */
export interface GraphWeights {
  readonly blob: WeightBlob;
  /** Null: everything is computed in float32. */
  readonly quantized: QuantizedWeights | null;
  /** What sessions that decode in float32 are fed. */
  readonly resident: TensorViews;
  /** The same for sessions that read prompts, by the names of weights or of matrices; without, they find every weight in the blob. */
  readonly prompts: TensorViews;
  /** Of these, what sessions that decode have as weights too. */
  readonly embedding: TensorViews;
}

/**
 * @param targets projections that take an adapter; its matrices are inputs of any rank (`names.loraA`)
 * @returns the bytes of an ONNX model to be written into the blob's directory
 */
export function stepGraph(phase: Phase, config: ModelConfig, { blob, quantized, prompts }: GraphWeights, targets: readonly string[], maxContext: number): Uint8Array {
  const graph = new Graph();
  const tokenIds = graph.input(names.tokenIds, 'int64', ['B', 'S']);
  const lastPosition = graph.input(names.lastPosition, 'int32', ['B']);
  const longest = graph.input(names.longest, 'int32', []);
  const wanted = graph.input(names.wanted, 'int64', ['B']);
  const weights = new Map<string, Value>();
  const weight = (name: string): Value => {
    const known = weights.get(name) ?? blob.in(graph, name);
    weights.set(name, known);
    return known;
  };
  const matrices = jointMatrices(config);
  const adapted = adaptedMatrices(matrices, targets);
  /** y = (x Aᵀ) Bᵀ `[N, Σ out]`, or its transpose. */
  const factors = (matrix: JointMatrix): readonly [a: Value, bTransposed: Value] => {
    const rank = `R_${matrix.kind}`;
    return [graph.input(names.loraA(matrix), 'float32', [rank, matrix.inner]), graph.input(names.loraB(matrix), 'float32', [rank, rowsOf(matrix)])];
  };
  const mask = phase === 'mixed' ? rowMasks(graph) : null;
  const lowRank = (x: Value, matrix: JointMatrix): Value => {
    const [a, bTransposed] = factors(matrix);
    const down = gemm(x, a, { transB: true, alpha: TWICE });
    return gemm(mask ? where(transpose(mask(matrix), [1, 0]), down, 0) : down, bTransposed, { alpha: TWICE });
  };
  const weightsFirst = (x: Value, matrix: JointMatrix): Value => {
    const y = matmul(graph.input(matrix.name, 'float32', [rowsOf(matrix), matrix.inner]), x, { transB: true });
    if (!adapted.has(matrix)) return transpose(y, [1, 0]);
    const [a, bTransposed] = factors(matrix);
    const down = matmul(a, x, { transB: true, alpha: TWICE });
    return transpose(add(y, matmul(bTransposed, mask ? where(mask(matrix), down, 0) : down, { transA: true, alpha: TWICE })), [1, 0]);
  };
  const adjusted = (y: Value, x: Value, matrix: JointMatrix): Value => (adapted.has(matrix) ? add(y, lowRank(x, matrix)) : y);
  const whole = jointly((x, matrix) => {
    if (quantized?.has(matrix)) return adjusted(quantized.product(graph, x, matrix), x, matrix);
    if (phase === 'prompt') return adjusted(linear(x, blob.given(graph, matrix.name, [rowsOf(matrix), matrix.inner])), x, matrix);
    return weightsFirst(x, matrix);
  });
  const adapterPart = jointly(lowRank);
  /** x `[N, in]` → `[N, out]`, as `linear`. */
  const product = (x: Value, name: string): Value => {
    const matrix = matrices.get(name);
    if (!matrix) throw new GraphError(`${name} is no linear layer's`);
    if (quantized ? quantized.has(matrix) : phase !== 'prompt' || prompts[matrix.name]) return whole.part(x, matrix, name);
    const y = linear(x, weight(name));
    return adapted.has(matrix) ? add(y, adapterPart.part(x, matrix, name)) : y;
  };
  const forward: Forward = {
    config, weight,
    linear: (x, module) => product(x, `${module}.weight`),
    attention: cachedAttention(config, { tokenIds, lastPosition, longest, maxContext, tiled: scoreBytes(phase, config, maxContext) > MAX_SCORE_BYTES }, whole.joint),
  };
  const architecture = architectures[config.architecture];
  const hidden = architecture.hidden(forward, reshape(tokenIds, [-1]));
  const logits = product(architecture.output(forward, gather(hidden, wanted)), architecture.headWeight(config));
  const probabilities = softmax(mul(logits, graph.input(names.inverseTemperature, 'float32', ['B', 1])));
  const block = probabilityBlock(config.vocabSize);
  graph.output(outputNames.logits, logits);
  graph.output(outputNames.probabilities, probabilities);
  graph.output(outputNames.sums, reduceSum(reshape(probabilities, [0, config.vocabSize / block, block]), [2]));
  return encodeModel(joinResidualNorms(graph));
}

/** Most that attention's scores of one layer take. */
const scoreBytes = (phase: Phase, { heads }: ModelConfig, maxContext: number): number => (phase === 'prompt' ? MAX_PIECE : MAX_BATCH) * heads * maxContext * Float32Array.BYTES_PER_ELEMENT;

/** Which ranks are each row's own `[rank, N]`, by kind. */
function rowMasks(graph: Graph): (matrix: JointMatrix) => Value {
  const masks = new Map<string, Value>();
  return ({ kind }) => {
    const mask = masks.get(kind) ?? cast(graph.input(names.rowMask(kind), 'int32', [`R_${kind}`, 'B*S']), 'bool');
    masks.set(kind, mask);
    return mask;
  };
}

interface Jointly {
  /** One weight's part of the product that it is in, `[N, out]`. */
  readonly part: (x: Value, matrix: JointMatrix, name: string) => Value;
  /** The product whose parts, all of them and in this order, these are; null: there is none. */
  readonly joint: (parts: readonly Value[]) => Value | null;
}

/** Multiplies what reads the same x together, once: `multiply` gives `[N, Σ out]`. */
function jointly(multiply: (x: Value, matrix: JointMatrix) => Value): Jointly {
  const products = new Map<JointMatrix, { readonly x: Value; readonly product: Value; readonly parts: ReadonlyMap<string, Value> }>();
  return {
    part(x, matrix, name) {
      const known = products.get(matrix);
      if (known && known.x !== x) throw new GraphError(`${name} does not multiply what the others of ${matrix.name} do`);
      const product = known?.product ?? multiply(x, matrix);
      const parts = known?.parts ?? partsOf(product, matrix);
      products.set(matrix, { x, product, parts });
      const part = parts.get(name);
      if (!part) throw new GraphError(`${name} is not in ${matrix.name}`);
      return part;
    },
    joint: (wanted) => [...products.values()].find(({ parts }) => parts.size === wanted.length && [...parts.values()].every((part, i) => part === wanted[i]))?.product ?? null,
  };
}

function partsOf(product: Value, { parts }: JointMatrix): ReadonlyMap<string, Value> {
  const values = parts.size === 1 ? [product] : split(product, [...parts.values()], 1);
  return new Map([...parts.keys()].map((part, i) => [part, values[i] ?? product]));
}

interface Step {
  readonly tokenIds: Value;
  readonly lastPosition: Value;
  readonly longest: Value;
  readonly maxContext: number;
  readonly tiled: boolean;
}

type Rotation = NonNullable<CachedAttentionInputs['rotation']>;

/** The `attention` of a `Forward` over a cache; each layer's cache becomes two inputs and two outputs of the graph. Query, key and value that lie side by side are taken as they lie. */
function cachedAttention(config: ModelConfig, { tokenIds, lastPosition, longest, maxContext, tiled }: Step, joint: Jointly['joint']): Forward['attention'] {
  const { heads, kvHeads, headDim, attentionScale: scale } = config;
  const { graph } = tokenIds;
  const isFused = canRotate(headDim);
  // What the kernel turns has the scores' factor too, half of it in queries and half in keys: where it has nothing to multiply it takes its fastest routine for one query.
  const turned = isFused ? Math.sqrt(scale) : 1;
  const rotations = new Map(Array.from(ropesOf(config), ([table, rope]): [RopeTable, Rotation] => {
    const { cos, sin } = ropeTables(rope, headDim, maxContext);
    const constant = (wave: Float32Array): Value => graph.constant(wave.map((value) => value * turned), [maxContext, headDim / 2]);
    return [table, { cos: constant(cos), sin: constant(sin) }];
  }));
  const positions = graph.input(names.positions, 'int64', ['B', 'S']);
  const byRow = (x: Value, width: number): Value => reshapeTo(x, concat([shapeOf(tokenIds), graph.integers(width)], 0), [...tokenIds.shape, width]);
  return ({ layer, query, key, value, window, rope = 'full' }) => {
    const rotation = rotations.get(rope);
    if (!rotation) throw new GraphError(`the model has no rotation named ${rope}`);
    const rotated = (x: Value): Value => (isFused ? x : rotary(x, rotation.cos, rotation.sin, positions));
    const past = (side: number): Value => graph.input(names.past(2 * layer + side), 'float32', ['B', kvHeads, 'M', cachedHeadDim(headDim)]);
    const whole = isFused && canJoin(headDim) ? joint([query, key, value]) : null;
    const { output, presentKey, presentValue } = groupedQueryAttention({
      qkv: whole ? [byRow(whole, (heads + 2 * kvHeads) * headDim)] : [rotated(byRow(query, heads * headDim)), rotated(byRow(key, kvHeads * headDim)), byRow(value, kvHeads * headDim)],
      pastKey: past(0), pastValue: past(1), lastPosition, longest, rotation: isFused ? rotation : null, heads, keyHeads: kvHeads, headDim, scale: isFused ? 1 : scale, tiled, ...(window === undefined ? {} : { window }),
    });
    graph.output(names.present(2 * layer), presentKey);
    graph.output(names.present(2 * layer + 1), presentValue);
    return reshape(output, [-1, heads * headDim]);
  };
}
