/** `config.json` → `ModelConfig`, in both layouts the Hub has; what this project cannot compute exactly is refused by name. */
import { z } from 'zod';
import { architectures, isArchitecture } from './architectures/index.ts';
import type { Architecture } from './architectures/index.ts';
import { ModelError } from './error.ts';
import { headDimOf, hubConfigSchema, unsupported } from './hub-config.ts';
import type { ModelConfig } from './model.ts';

/**
 * Keys that change the numbers of every family, with the values that are computed here. Absent and null are always fine, as they are
 * what transformers takes as off.
 */
const COMPUTED: Architecture['hub']['computed'] = {
  partial_rotary_factor: [1],
  attn_logit_softcapping: [],
  final_logit_softcapping: [],
  use_bidirectional_attention: [false],
  use_mrope: [false],
  is_encoder_decoder: [false],
  add_cross_attention: [false],
};

/**
 * `source` names the file in errors.
 * @throws ModelError `invalid_config` (a missing or mistyped key), `unsupported` (named: architecture, rope type, bias…)
 */
export function parseModelConfig(json: unknown, source: string): ModelConfig {
  const family = familyOf(json, source);
  const { hub } = architectures[family.architecture];
  refuseUnsupported(family.keys, { ...COMPUTED, ...hub.computed }, source);
  const parsed = hubConfigSchema.safeParse({ ...hub.defaults, ...family.keys });
  if (!parsed.success) throw invalid(parsed.error, source);
  const raw = parsed.data;
  const heads = raw.num_attention_heads;
  const config: ModelConfig = {
    architecture: family.architecture,
    vocabSize: raw.vocab_size,
    hiddenSize: raw.hidden_size,
    intermediateSize: raw.intermediate_size,
    layers: raw.num_hidden_layers,
    heads,
    kvHeads: raw.num_key_value_heads ?? heads,
    headDim: headDimOf(raw),
    rmsNormEps: raw.rms_norm_eps,
    ...hub.attention(raw, source),
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

const familySchema = z.looseObject({ model_type: z.string(), architectures: z.array(z.string()).nullish() });

/** Looked at first: a foreign architecture's other keys may well fail the schema, and that would be the wrong sentence. */
function familyOf(json: unknown, source: string): { readonly architecture: ModelConfig['architecture']; readonly keys: Readonly<Record<string, unknown>> } {
  const parsed = familySchema.safeParse(json);
  if (!parsed.success) throw invalid(parsed.error, source);
  const { model_type: type } = parsed.data;
  if (!isArchitecture(type)) throw unsupported(source, `model_type "${type}" (${Object.keys(architectures).join(', ')} are)`);
  const { className } = architectures[type].hub;
  const other = parsed.data.architectures?.find((name) => name !== className);
  if (other !== undefined) throw unsupported(source, `architecture "${other}" of a ${type} model (${className} is)`);
  // Null is as good as absent; what a family has as default then holds.
  return { architecture: type, keys: Object.fromEntries(Object.entries(parsed.data).filter(([, value]) => value !== null && value !== undefined)) };
}

function refuseUnsupported(keys: Readonly<Record<string, unknown>>, computed: Architecture['hub']['computed'], source: string): void {
  if (keys['quantization_config'] !== undefined) throw unsupported(source, 'quantization_config: weights must be stored as F32, F16 or BF16 (or use a GGUF file)');
  for (const [key, values] of Object.entries(computed)) {
    const value = keys[key];
    if (value === undefined || values.some((known) => known === value)) continue;
    throw unsupported(source, `${key}: ${JSON.stringify(value)}${values.length > 0 ? ` (${values.map((known) => JSON.stringify(known)).join(' and ')} is)` : ''}`);
  }
}

function refuseImpossibleShape(config: ModelConfig, source: string): void {
  if (config.heads % config.kvHeads !== 0) throw new ModelError('invalid_config', `${source}: ${config.heads} attention heads cannot share ${config.kvHeads} key-value heads evenly.`);
  if (!Number.isInteger(config.headDim) || config.headDim % 2 !== 0) throw new ModelError('invalid_config', `${source}: a head dimension of ${config.headDim} cannot be rotated; it must be an even integer.`);
}

function invalid(error: z.ZodError, source: string): ModelError {
  const [issue] = error.issues;
  return new ModelError('invalid_config', `${source}: ${issue?.path.join('.') || 'the file'} is not valid (${issue?.message ?? 'unreadable'}).`);
}
