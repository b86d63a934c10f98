/** `config.json` → `ModelConfig`, in both layouts the Hub has; what this project cannot compute exactly is refused by name. */
import { z } from 'zod';
import { ModelError } from './error.ts';
import type { ModelConfig, RopeConfig } from './model.ts';

const positive = z.int().positive();

const ropeSchema = z.looseObject({
  rope_type: z.string().optional(),
  /** The name `rope_type` had before transformers 4.43. */
  type: z.string().optional(),
  rope_theta: z.number().positive().optional(),
  factor: z.number().positive().optional(),
  low_freq_factor: z.number().positive().optional(),
  high_freq_factor: z.number().positive().optional(),
  original_max_position_embeddings: positive.optional(),
  partial_rotary_factor: z.number().optional(),
});

const configSchema = z.looseObject({
  model_type: z.string(),
  architectures: z.array(z.string()).nullish(),
  vocab_size: positive,
  hidden_size: positive,
  intermediate_size: positive,
  num_hidden_layers: positive,
  num_attention_heads: positive,
  num_key_value_heads: positive.nullish(),
  head_dim: positive.nullish(),
  rms_norm_eps: z.number().positive().default(1e-6),
  max_position_embeddings: positive.default(2048),
  tie_word_embeddings: z.boolean().default(false),
  bos_token_id: z.int().nullish(),
  eos_token_id: z.union([z.int(), z.array(z.int())]).nullish(),
  pad_token_id: z.int().nullish(),
  hidden_act: z.string().default('silu'),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  /** transformers 5. */
  rope_parameters: ropeSchema.nullish(),
  /** transformers 4. */
  rope_theta: z.number().positive().nullish(),
  rope_scaling: ropeSchema.nullish(),
  partial_rotary_factor: z.number().nullish(),
  sliding_window: z.number().nullish(),
  quantization_config: z.unknown().optional(),
});

type RawConfig = z.infer<typeof configSchema>;

/**
 * `source` names the file in errors.
 * @throws ModelError `invalid_config` (a missing or mistyped key), `unsupported` (named: architecture, rope type, bias…)
 */
export function parseModelConfig(json: unknown, source: string): ModelConfig {
  refuseOtherArchitecture(json, source);
  const parsed = configSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new ModelError('invalid_config', `${source}: ${issue?.path.join('.') || 'the file'} is not valid (${issue?.message ?? 'unreadable'}).`);
  }
  const raw = parsed.data;
  refuseUnsupported(raw, source);
  const heads = raw.num_attention_heads;
  const config: ModelConfig = {
    architecture: 'llama',
    vocabSize: raw.vocab_size,
    hiddenSize: raw.hidden_size,
    intermediateSize: raw.intermediate_size,
    layers: raw.num_hidden_layers,
    heads,
    kvHeads: raw.num_key_value_heads ?? heads,
    headDim: raw.head_dim ?? raw.hidden_size / heads,
    rmsNormEps: raw.rms_norm_eps,
    rope: parseRope(raw, source),
    sliding: null,
    tieWordEmbeddings: raw.tie_word_embeddings,
    maxPositions: raw.max_position_embeddings,
    bosTokenId: raw.bos_token_id ?? null,
    eosTokenIds: [raw.eos_token_id ?? []].flat(),
    padTokenId: raw.pad_token_id ?? null,
  };
  refuseImpossibleShape(config, source);
  return config;
}

const generationSchema = z.looseObject({
  bos_token_id: z.int().nullish(),
  eos_token_id: z.union([z.int(), z.array(z.int())]).nullish(),
  pad_token_id: z.int().nullish(),
});

/**
 * Adds what `generation_config.json` says about special tokens: chat models often list further end-of-turn tokens only there.
 * @throws ModelError `invalid_config`
 */
export function withGenerationConfig(config: ModelConfig, json: unknown, source: string): ModelConfig {
  const parsed = generationSchema.safeParse(json);
  if (!parsed.success) throw new ModelError('invalid_config', `${source}: its token ids are not valid.`);
  const { bos_token_id: bos, eos_token_id: eos, pad_token_id: pad } = parsed.data;
  return {
    ...config,
    bosTokenId: config.bosTokenId ?? bos ?? null,
    eosTokenIds: [...new Set([...config.eosTokenIds, ...[eos ?? []].flat()])],
    padTokenId: config.padTokenId ?? pad ?? null,
  };
}

/** Looked at first: a foreign architecture's other keys may well fail the schema, and that would be the wrong sentence. */
function refuseOtherArchitecture(json: unknown, source: string): void {
  const named = z.looseObject({ model_type: z.string().optional(), architectures: z.array(z.string()).nullish() }).safeParse(json);
  if (!named.success) return;
  const { model_type: type, architectures } = named.data;
  if (type !== undefined && type !== 'llama') throw unsupported(source, `model_type "${type}" (llama is)`);
  const other = architectures?.find((name) => name !== 'LlamaForCausalLM');
  if (other !== undefined) throw unsupported(source, `architecture "${other}" (LlamaForCausalLM is)`);
}

function refuseUnsupported(raw: RawConfig, source: string): void {
  if (raw.attention_bias) throw unsupported(source, 'attention_bias: true');
  if (raw.mlp_bias) throw unsupported(source, 'mlp_bias: true');
  if (raw.hidden_act !== 'silu') throw unsupported(source, `hidden_act "${raw.hidden_act}" (silu is)`);
  if (raw.quantization_config !== undefined && raw.quantization_config !== null) throw unsupported(source, 'quantization_config: weights must be stored as F32, F16 or BF16 (or use a GGUF file)');
  if (raw.sliding_window !== undefined && raw.sliding_window !== null) throw unsupported(source, `sliding_window: ${raw.sliding_window}`);
  const partial = raw.partial_rotary_factor ?? raw.rope_parameters?.partial_rotary_factor ?? 1;
  if (partial !== 1) throw unsupported(source, `partial_rotary_factor: ${partial}`);
}

function refuseImpossibleShape(config: ModelConfig, source: string): void {
  if (config.heads % config.kvHeads !== 0) throw new ModelError('invalid_config', `${source}: ${config.heads} attention heads cannot share ${config.kvHeads} key-value heads evenly.`);
  if (!Number.isInteger(config.headDim) || config.headDim % 2 !== 0) throw new ModelError('invalid_config', `${source}: a head dimension of ${config.headDim} cannot be rotated; it must be an even integer.`);
}

function parseRope(raw: RawConfig, source: string): RopeConfig {
  const scaling = raw.rope_parameters ?? raw.rope_scaling ?? {};
  const theta = scaling.rope_theta ?? raw.rope_theta ?? 10_000;
  const type = scaling.rope_type ?? scaling.type ?? 'default';
  if (type === 'default') return { type, theta };
  if (type !== 'llama3') throw unsupported(source, `rope type "${type}" (default and llama3 are)`);
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: original } = scaling;
  if (factor === undefined || low === undefined || high === undefined || original === undefined) {
    throw new ModelError('invalid_config', `${source}: llama3 rope needs factor, low_freq_factor, high_freq_factor and original_max_position_embeddings.`);
  }
  return { type, theta, factor, lowFreqFactor: low, highFreqFactor: high, originalMaxPositions: original };
}

function unsupported(source: string, what: string): ModelError {
  return new ModelError('unsupported', `${source}: not supported: ${what}.`);
}
