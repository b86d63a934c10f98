/**
 * Gemma 3, text (arXiv 2503.19786): layers that see a sliding window between layers that see everything, each kind with its own
 * rotation; norms before and after attention and MLP, and on each query and key, that multiply by 1 + w; GELU in the gate.
 * Same numbers as transformers `modeling_gemma3.py`.
 */
import { gather } from '../graph/ops/gather.ts';
import { add, mul } from '../graph/ops/elementwise.ts';
import { geluTanh } from '../graph/ops/gelu.ts';
import { rmsNorm } from '../graph/ops/rms-norm.ts';
import type { Value } from '../graph/value.ts';
import { parseRope, unsupported, type AttentionConfig, type HubConfig } from '../hub-config.ts';
import type { Architecture, Forward } from './architecture.ts';
import { attentionShapes, blockName, decoderTensors, eachHead, EMBEDDING, gatedMlp, headWeight, mlpShapes, PROJECTIONS } from './decoder.ts';

export const gemma3: Architecture = {
  hub: {
    className: 'Gemma3ForCausalLM',
    defaults: {
      num_key_value_heads: 4, head_dim: 256, max_position_embeddings: 131_072, tie_word_embeddings: true,
      query_pre_attn_scalar: 256, sliding_window: 4096, rope_theta: 1_000_000, rope_local_base_freq: 10_000,
    },
    computed: { hidden_activation: ['gelu_pytorch_tanh'], attention_bias: [false] },
    attention,
  },
  adapterTargets: PROJECTIONS,

  tensors(config) {
    const { hiddenSize, headDim } = config;
    return decoderTensors(config, {
      'input_layernorm.weight': [hiddenSize],
      ...attentionShapes(config),
      'self_attn.q_norm.weight': [headDim],
      'self_attn.k_norm.weight': [headDim],
      'post_attention_layernorm.weight': [hiddenSize],
      'pre_feedforward_layernorm.weight': [hiddenSize],
      ...mlpShapes(config),
      'post_feedforward_layernorm.weight': [hiddenSize],
    });
  },

  hidden(forward, tokenIds) {
    let x = mul(gather(forward.weight(EMBEDDING), tokenIds), Math.sqrt(forward.config.hiddenSize));
    for (let layer = 0; layer < forward.config.layers; layer++) {
      const block = blockName(layer);
      const attended = selfAttention(forward, norm(forward, x, `${block}.input_layernorm`), layer);
      x = add(x, norm(forward, attended, `${block}.post_attention_layernorm`));
      const fed = gatedMlp(forward, norm(forward, x, `${block}.pre_feedforward_layernorm`), layer, geluTanh);
      x = add(x, norm(forward, fed, `${block}.post_feedforward_layernorm`));
    }
    return x;
  },

  output: (forward, hidden) => norm(forward, hidden, 'model.norm'),

  headWeight,
};

function selfAttention(forward: Forward, x: Value, layer: number): Value {
  const { heads, kvHeads, headDim, sliding } = forward.config;
  const block = `${blockName(layer)}.self_attn`;
  const query = eachHead(forward.linear(x, `${block}.q_proj`), heads, headDim, (q) => norm(forward, q, `${block}.q_norm`));
  const key = eachHead(forward.linear(x, `${block}.k_proj`), kvHeads, headDim, (k) => norm(forward, k, `${block}.k_norm`));
  const value = forward.linear(x, `${block}.v_proj`);
  const view = sliding?.layers[layer] ? { window: sliding.window, rope: 'sliding' as const } : {};
  return forward.linear(forward.attention({ layer, query, key, value, ...view }), `${block}.o_proj`);
}

const norm = (forward: Forward, x: Value, name: string): Value => rmsNorm(x, add(1, forward.weight(`${name}.weight`)), forward.config.rmsNormEps);

/** Every sixth layer sees everything, unless `layer_types` or the pattern says otherwise. */
const PATTERN = 6;

function attention(json: HubConfig, source: string): AttentionConfig {
  const { num_hidden_layers: layers, layer_types: types, rope_parameters: ropes, query_pre_attn_scalar: scalar, sliding_window: window } = json;
  const other = types?.find((type) => type !== 'full_attention' && type !== 'sliding_attention');
  if (other !== undefined) throw unsupported(source, `layer type "${other}" (full_attention and sliding_attention are)`);
  const pattern = json.sliding_window_pattern ?? PATTERN;
  const slides = Array.from({ length: layers }, (_, layer) => (types ? types[layer] === 'sliding_attention' : (layer + 1) % pattern !== 0));
  return {
    // transformers 4 scales the layers that see everything only.
    rope: parseRope(ropes ? ropes['full_attention'] : json.rope_scaling, Number(json.rope_theta), source),
    sliding: { window: Number(window), layers: slides, rope: parseRope(ropes?.['sliding_attention'], Number(json.rope_local_base_freq), source) },
    attentionScale: Number(scalar) ** -0.5,
  };
}
