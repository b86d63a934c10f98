/** Qwen2 and Qwen2.5 (arXiv 2407.10671, 2412.15115): a Llama whose q, k and v have a bias. Same numbers as transformers `modeling_qwen2.py`. */
import { gather } from '../graph/ops/gather.ts';
import { add } from '../graph/ops/elementwise.ts';
import { silu } from '../graph/ops/silu.ts';
import type { Value } from '../graph/value.ts';
import { fullAttention } from '../hub-config.ts';
import type { Architecture, Forward } from './architecture.ts';
import { attentionShapes, blockName, decoderTensors, EMBEDDING, gatedMlp, headWeight, mlpShapes, norm, PROJECTIONS } from './decoder.ts';

export const qwen2: Architecture = {
  hub: {
    className: 'Qwen2ForCausalLM',
    defaults: { num_key_value_heads: 32, max_position_embeddings: 32_768 },
    // Its configurations have a `sliding_window` also where nothing uses it.
    computed: { hidden_act: ['silu'], use_sliding_window: [false] },
    attention: fullAttention,
  },
  adapterTargets: PROJECTIONS,

  tensors(config) {
    const { hiddenSize, heads, kvHeads, headDim } = config;
    return decoderTensors(config, {
      'input_layernorm.weight': [hiddenSize],
      ...attentionShapes(config),
      'self_attn.q_proj.bias': [heads * headDim],
      'self_attn.k_proj.bias': [kvHeads * headDim],
      'self_attn.v_proj.bias': [kvHeads * headDim],
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
  const block = `${blockName(layer)}.self_attn`;
  const biased = (module: string): Value => add(forward.linear(x, module), forward.weight(`${module}.bias`));
  const query = biased(`${block}.q_proj`);
  const key = biased(`${block}.k_proj`);
  const value = biased(`${block}.v_proj`);
  return forward.linear(forward.attention({ layer, query, key, value }), `${block}.o_proj`);
}
