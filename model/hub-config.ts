/** `config.json` as transformers writes it, and how it says what attention is like: in two layouts, that of version 4 and that of version 5. */
import { z } from 'zod';
import { ModelError } from './error.ts';
import type { ModelConfig, RopeConfig } from './model.ts';

const positive = z.int().positive();

export const hubConfigSchema = z.looseObject({
  model_type: z.string(),
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
  /** transformers 5: one rotation, or one by layer type. */
  rope_parameters: z.looseObject({}).nullish(),
  /** transformers 4. */
  rope_theta: z.number().positive().nullish(),
  rope_local_base_freq: z.number().positive().nullish(),
  rope_scaling: z.looseObject({}).nullish(),
  sliding_window: positive.nullish(),
  sliding_window_pattern: positive.nullish(),
  layer_types: z.array(z.string()).nullish(),
  query_pre_attn_scalar: z.number().positive().nullish(),
});

export type HubConfig = z.infer<typeof hubConfigSchema>;

/** How a model's layers attend. */
export type AttentionConfig = Pick<ModelConfig, 'rope' | 'sliding' | 'attentionScale'>;

/** Attention of every layer to everything before it, with one rotation. @throws ModelError `unsupported`, `invalid_config` */
export function fullAttention(json: HubConfig, source: string): AttentionConfig {
  const other = json.layer_types?.find((type) => type !== 'full_attention');
  if (other !== undefined) throw unsupported(source, `layer type "${other}" in a ${json.model_type} model (full_attention is)`);
  return {
    rope: parseRope(json.rope_parameters ?? json.rope_scaling, json.rope_theta ?? 10_000, source),
    sliding: null,
    attentionScale: headDimOf(json) ** -0.5,
  };
}

export const headDimOf = (json: HubConfig): number => json.head_dim ?? json.hidden_size / json.num_attention_heads;

const ropeTypeSchema = z.looseObject({ rope_type: z.string().nullish(), type: z.string().nullish() });

/** Keys beyond these would change the angles in a way that isn't computed here. */
const ropeSchema = z.strictObject({
  rope_type: z.string().nullish(),
  /** The name `rope_type` had before transformers 4.43. */
  type: z.string().nullish(),
  rope_theta: z.number().positive().nullish(),
  factor: z.number().positive().nullish(),
  low_freq_factor: z.number().positive().nullish(),
  high_freq_factor: z.number().positive().nullish(),
  original_max_position_embeddings: positive.nullish(),
  partial_rotary_factor: z.number().nullish(),
});

/**
 * @param parameters `rope_parameters` (or one layer type's part of it), or `rope_scaling`; null is a plain rotation
 * @param theta where the parameters do not say
 * @throws ModelError `unsupported` (named), `invalid_config`
 */
export function parseRope(parameters: unknown, theta: number, source: string): RopeConfig {
  const named = ropeTypeSchema.safeParse(parameters ?? {});
  if (!named.success) throw new ModelError('invalid_config', `${source}: the rope parameters are not valid.`);
  const type = named.data.rope_type ?? named.data.type ?? 'default';
  // Looked at first: another type's parameters are not ours to judge.
  if (type !== 'default' && type !== 'linear' && type !== 'llama3') throw unsupported(source, `rope type "${type}" (default, linear and llama3 are)`);
  const parsed = ropeSchema.safeParse(parameters ?? {});
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    if (issue?.code === 'unrecognized_keys') throw unsupported(source, `${issue.keys.join(', ')} of the rope parameters`);
    throw new ModelError('invalid_config', `${source}: the rope parameter ${issue?.path.join('.') ?? ''} is not valid (${issue?.message ?? 'unreadable'}).`);
  }
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: original, partial_rotary_factor: partial } = parsed.data;
  if ((partial ?? 1) !== 1) throw unsupported(source, `partial_rotary_factor: ${partial}`);
  const base = parsed.data.rope_theta ?? theta;
  if (type === 'default') return { type, theta: base };
  if (!factor) throw new ModelError('invalid_config', `${source}: ${type} rope needs a factor.`);
  if (type === 'linear') return { type, theta: base, factor };
  if (!low || !high || !original) throw new ModelError('invalid_config', `${source}: llama3 rope needs low_freq_factor, high_freq_factor and original_max_position_embeddings.`);
  return { type, theta: base, factor, lowFreqFactor: low, highFreqFactor: high, originalMaxPositions: original };
}

export function unsupported(source: string, what: string): ModelError {
  return new ModelError('unsupported', `${source}: not supported: ${what}.`);
}
