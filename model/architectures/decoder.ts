/** What these families share: a stack of blocks, each of grouped-query attention and a gated MLP, under the names of the Hugging Face Hub. */
import { mul } from '../graph/ops/elementwise.ts';
import { reshape } from '../graph/ops/layout.ts';
import { rmsNorm } from '../graph/ops/rms-norm.ts';
import type { Value } from '../graph/value.ts';
import type { ModelConfig } from '../model.ts';
import type { Forward } from './architecture.ts';

export const EMBEDDING = 'model.embed_tokens.weight';

/** Last parts of the names of a block's linear layers. */
export const PROJECTIONS = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];

export const blockName = (layer: number): string => `model.layers.${layer}`;

type Shapes = Readonly<Record<string, readonly number[]>>;

/** A block's attention projections, `[out, in]`, by their names within the block. */
export const attentionShapes = ({ hiddenSize, heads, kvHeads, headDim }: ModelConfig): Shapes => ({
  'self_attn.q_proj.weight': [heads * headDim, hiddenSize],
  'self_attn.k_proj.weight': [kvHeads * headDim, hiddenSize],
  'self_attn.v_proj.weight': [kvHeads * headDim, hiddenSize],
  'self_attn.o_proj.weight': [hiddenSize, heads * headDim],
});

/** A block's MLP projections, `[out, in]`, by their names within the block. */
export const mlpShapes = ({ hiddenSize, intermediateSize }: ModelConfig): Shapes => ({
  'mlp.gate_proj.weight': [intermediateSize, hiddenSize],
  'mlp.up_proj.weight': [intermediateSize, hiddenSize],
  'mlp.down_proj.weight': [hiddenSize, intermediateSize],
});

/** Every tensor of a model, given those of one block. */
export function decoderTensors(config: ModelConfig, block: Shapes): ReadonlyMap<string, readonly number[]> {
  const { vocabSize, hiddenSize, layers, tieWordEmbeddings } = config;
  const blocks = Array.from({ length: layers }, (_, layer) => Object.entries(block).map(([name, shape]) => [`${blockName(layer)}.${name}`, shape] as const));
  return new Map([
    [EMBEDDING, [vocabSize, hiddenSize]],
    ...blocks.flat(),
    ['model.norm.weight', [hiddenSize]],
    ...(tieWordEmbeddings ? [] : [['lm_head.weight', [vocabSize, hiddenSize]] as const]),
  ]);
}

/** x `[N, hiddenSize]` under the norm of that name. */
export const norm = (forward: Forward, x: Value, name: string): Value => rmsNorm(x, forward.weight(`${name}.weight`), forward.config.rmsNormEps);

/** x `[N, heads·headDim]` with a function of each head's `[·, headDim]` applied. */
export function eachHead(x: Value, heads: number, headDim: number, change: (head: Value) => Value): Value {
  return reshape(change(reshape(x, [-1, headDim])), [-1, heads * headDim]);
}

/** (activation(x G) ⊙ x U) D (GLU Variants, arXiv 2002.05202). */
export function gatedMlp(forward: Forward, x: Value, layer: number, activation: (x: Value) => Value): Value {
  const mlp = `${blockName(layer)}.mlp`;
  const gate = activation(forward.linear(x, `${mlp}.gate_proj`));
  return forward.linear(mul(gate, forward.linear(x, `${mlp}.up_proj`)), `${mlp}.down_proj`);
}

/** The embedding itself where it is tied. */
export const headWeight = (config: ModelConfig): string => (config.tieWordEmbeddings ? EMBEDDING : 'lm_head.weight');
