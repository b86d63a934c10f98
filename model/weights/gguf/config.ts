/** GGUF metadata as the `config.json` it was made from, so that one parser decides what is supported. */
import { parseModelConfig } from '../../config.ts';
import { ModelError } from '../../error.ts';
import type { ModelConfig } from '../../model.ts';
import type { GgufFamily } from './families.ts';
import type { GgufMetadata, GgufTensor } from './header.ts';

/**
 * @param ropeFactors `rope_freqs.weight`, where the file has it: what each rotary frequency is divided by
 * @throws ModelError `invalid_config`, `unsupported`
 */
export function configFromGguf(metadata: GgufMetadata, { modelType }: GgufFamily, tensors: readonly GgufTensor[], ropeFactors: Float32Array | null, source: string): ModelConfig {
  const architecture = metadata.get('general.architecture');
  const key = (name: string): unknown => metadata.get(`${String(architecture)}.${name}`);
  const token = (name: string): unknown => metadata.get(`tokenizer.ggml.${name}_token_id`);
  const embedding = tensors.find((tensor) => tensor.name === 'token_embd.weight');
  const heads = key('attention.head_count');
  const hidden = key('embedding_length');
  const headDim = key('attention.key_length') ?? Number(hidden) / Number(heads);
  const theta = Number(key('rope.freq_base') ?? 10_000);
  const scaling = key('rope.scaling.type');
  if (Number(key('expert_count') ?? 0) > 0) throw new ModelError('unsupported', `${source}: not supported: mixture of experts (expert_count: ${Number(key('expert_count'))}).`);
  return parseModelConfig(
    {
      model_type: modelType,
      vocab_size: embedding?.shape[0],
      hidden_size: hidden,
      intermediate_size: key('feed_forward_length'),
      num_hidden_layers: key('block_count'),
      num_attention_heads: heads,
      num_key_value_heads: key('attention.head_count_kv'),
      head_dim: headDim,
      // Stored as float32: 9.999999747378752e-6 was 1e-5 in the original.
      rms_norm_eps: Number(Number(key('attention.layer_norm_rms_epsilon')).toPrecision(7)),
      max_position_embeddings: key('context_length'),
      tie_word_embeddings: !tensors.some((tensor) => tensor.name === 'output.weight'),
      bos_token_id: token('bos'),
      eos_token_id: ['eos', 'eot', 'eom'].map(token).filter((id) => id !== undefined),
      pad_token_id: token('padding'),
      partial_rotary_factor: Number(key('rope.dimension_count') ?? headDim) / Number(headDim),
      rope_theta: theta,
      rope_scaling: ropeFactors
        ? llama3Scaling(ropeFactors, theta, Number(headDim), source)
        : { rope_type: scaling === undefined || scaling === 'none' ? 'default' : scaling, factor: key('rope.scaling.factor') },
      ...(modelType === 'gemma3_text' ? gemmaKeys(key, Number(hidden) / Number(heads), Number(headDim)) : {}),
    },
    source,
  );
}

/** 27B, the one size whose scores are scaled by another number than its heads' size; no key of the file says it (llama.cpp `LLM_ARCH_GEMMA3`). */
const GEMMA_27B_LAYERS = 62;

function gemmaKeys(key: (name: string) => unknown, hiddenPerHead: number, headDim: number): Record<string, unknown> {
  const pattern = key('attention.sliding_window_pattern');
  return {
    sliding_window_pattern: typeof pattern === 'number' ? pattern : undefined,
    layer_types: Array.isArray(pattern) ? pattern.map((slides) => (slides ? 'sliding_attention' : 'full_attention')) : undefined,
    query_pre_attn_scalar: key('block_count') === GEMMA_27B_LAYERS ? hiddenPerHead : headDim,
    sliding_window: key('attention.sliding_window'),
    rope_local_base_freq: key('rope.freq_base_swa'),
    final_logit_softcapping: key('final_logit_softcapping'),
  };
}

/** The original context of every Llama 3.1 to 3.3 model, and the two bounds of their scaling. */
const LLAMA3 = { low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };

/**
 * A GGUF file holds Llama 3's scaling only as its result. The factor is the largest of it (long wavelengths are divided by the
 * whole factor); the other parameters are the published ones, and the result is computed again to be sure.
 */
function llama3Scaling(factors: Float32Array, theta: number, headDim: number, source: string): Record<string, number | string> {
  const factor = Math.max(...factors);
  for (const [i, stored] of factors.entries()) {
    const wavelength = 2 * Math.PI * theta ** ((2 * i) / headDim);
    const turns = LLAMA3.original_max_position_embeddings / wavelength;
    const smooth = Math.min(1, Math.max(0, (turns - LLAMA3.low_freq_factor) / (LLAMA3.high_freq_factor - LLAMA3.low_freq_factor)));
    const expected = 1 / ((1 - smooth) / factor + smooth);
    if (Math.abs(stored - expected) > 1e-4 * expected) throw new ModelError('unsupported', `${source}: not supported: rope_freqs.weight is not Llama 3's rope scaling.`);
  }
  return { rope_type: 'llama3', factor, ...LLAMA3 };
}
