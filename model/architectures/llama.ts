/**
 * Llama (Touvron et al., arXiv 2302.13971; Llama 3, arXiv 2407.21783): pre-norm blocks of grouped-query attention with rotary
 * positions and a gated MLP. Same numbers as transformers `modeling_llama.py`. SmolLM2 and TinyLlama are Llamas too.
 */
import { gather } from '../graph/ops/gather.ts';
import { add } from '../graph/ops/elementwise.ts';
import { silu } from '../graph/ops/silu.ts';
import type { Value } from '../graph/value.ts';
import { fullAttention } from '../hub-config.ts';
import type { Architecture, Forward } from './architecture.ts';
import { attentionShapes, blockName, decoderTensors, EMBEDDING, gatedMlp, headWeight, mlpShapes, norm, PROJECTIONS } from './decoder.ts';

export const llama: Architecture = {
  hub: {
    className: 'LlamaForCausalLM',
    defaults: {},
    computed: { hidden_act: ['silu'], attention_bias: [false], mlp_bias: [false], sliding_window: [] },
    attention: fullAttention,
  },
  adapterTargets: PROJECTIONS,

  tensors(config) {
    const width = [config.hiddenSize];
    return decoderTensors(config, {
      'input_layernorm.weight': width,
      ...attentionShapes(config),
      'post_attention_layernorm.weight': width,
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
  const query = forward.linear(x, `${block}.q_proj`);
  const key = forward.linear(x, `${block}.k_proj`);
  const value = forward.linear(x, `${block}.v_proj`);
  return forward.linear(forward.attention({ layer, query, key, value }), `${block}.o_proj`);
}
