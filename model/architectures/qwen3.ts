/** Qwen3, dense (arXiv 2505.09388): a Llama whose heads have a size of their own and a norm on each query and key. Same numbers as transformers `modeling_qwen3.py`. */
import { gather } from '../graph/ops/gather.ts';
import { add } from '../graph/ops/elementwise.ts';
import { silu } from '../graph/ops/silu.ts';
import type { Value } from '../graph/value.ts';
import { fullAttention } from '../hub-config.ts';
import type { Architecture, Forward } from './architecture.ts';
import { attentionShapes, blockName, decoderTensors, eachHead, EMBEDDING, gatedMlp, headWeight, mlpShapes, norm, PROJECTIONS } from './decoder.ts';

export const qwen3: Architecture = {
  hub: {
    className: 'Qwen3ForCausalLM',
    defaults: { num_key_value_heads: 32, head_dim: 128, max_position_embeddings: 32_768 },
    // Its configurations have a `sliding_window` also where nothing uses it.
    computed: { hidden_act: ['silu'], attention_bias: [false], use_sliding_window: [false] },
    attention: fullAttention,
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
      ...mlpShapes(config),
    });
  },

  hidden(forward, tokenIds) {
    let x = gather(forward.weight(EMBEDDING), tokenIds);
    for (let layer = 0; layer < forward.config.layers; layer++) {
      const block = blockName(layer);
      x = add(x, selfAttention(forward, norm(forward, x, `${block}.input_layernorm`), layer));
      x = add(x, gatedMlp(forward, norm(forward, x, `${block}.post_attention_layernorm`), layer, silu));
    }
    return x;
  },

  output: (forward, hidden) => norm(forward, hidden, 'model.norm'),

  headWeight,
};

function selfAttention(forward: Forward, x: Value, layer: number): Value {
  const { heads, kvHeads, headDim } = forward.config;
  const block = `${blockName(layer)}.self_attn`;
  const query = eachHead(forward.linear(x, `${block}.q_proj`), heads, headDim, (q) => norm(forward, q, `${block}.q_norm`));
  const key = eachHead(forward.linear(x, `${block}.k_proj`), kvHeads, headDim, (k) => norm(forward, k, `${block}.k_norm`));
  const value = forward.linear(x, `${block}.v_proj`);
  return forward.linear(forward.attention({ layer, query, key, value }), `${block}.o_proj`);
}
