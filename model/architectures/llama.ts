/**
 * Llama (Touvron et al., arXiv 2302.13971; Llama 3, arXiv 2407.21783): pre-norm blocks of grouped-query attention with rotary
 * positions and a gated MLP. Same numbers as transformers `modeling_llama.py`. SmolLM2 and TinyLlama are Llamas too.
 */
import { gather } from '../graph/ops/gather.ts';
import { gemm } from '../graph/ops/matmul.ts';
import { add, mul } from '../graph/ops/elementwise.ts';
import { rmsNorm } from '../graph/ops/rms-norm.ts';
import { silu } from '../graph/ops/silu.ts';
import type { Value } from '../graph/value.ts';
import type { ModelConfig } from '../model.ts';
import type { Architecture, Forward } from './architecture.ts';

const EMBEDDING = 'model.embed_tokens.weight';

export const llama: Architecture = {
  adapterTargets: ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],

  tensors(config) {
    const { hiddenSize: hidden, intermediateSize: wide, heads, kvHeads, headDim, vocabSize } = config;
    const tensors = new Map<string, readonly number[]>([[EMBEDDING, [vocabSize, hidden]]]);
    for (let layer = 0; layer < config.layers; layer++) {
      const block = `model.layers.${layer}`;
      tensors.set(`${block}.input_layernorm.weight`, [hidden]);
      tensors.set(`${block}.self_attn.q_proj.weight`, [heads * headDim, hidden]);
      tensors.set(`${block}.self_attn.k_proj.weight`, [kvHeads * headDim, hidden]);
      tensors.set(`${block}.self_attn.v_proj.weight`, [kvHeads * headDim, hidden]);
      tensors.set(`${block}.self_attn.o_proj.weight`, [hidden, heads * headDim]);
      tensors.set(`${block}.post_attention_layernorm.weight`, [hidden]);
      tensors.set(`${block}.mlp.gate_proj.weight`, [wide, hidden]);
      tensors.set(`${block}.mlp.up_proj.weight`, [wide, hidden]);
      tensors.set(`${block}.mlp.down_proj.weight`, [hidden, wide]);
    }
    tensors.set('model.norm.weight', [hidden]);
    if (!config.tieWordEmbeddings) tensors.set('lm_head.weight', [vocabSize, hidden]);
    return tensors;
  },

  hidden(forward, tokenIds) {
    let x = gather(forward.weight(EMBEDDING), tokenIds);
    for (let layer = 0; layer < forward.config.layers; layer++) {
      x = add(x, selfAttention(forward, layer, norm(forward, x, `model.layers.${layer}.input_layernorm`)));
      x = add(x, gatedMlp(forward, layer, norm(forward, x, `model.layers.${layer}.post_attention_layernorm`)));
    }
    return x;
  },

  logits(forward, hidden) {
    return gemm(norm(forward, hidden, 'model.norm'), forward.weight(headName(forward.config)), { transB: true });
  },
};

function selfAttention(forward: Forward, layer: number, x: Value): Value {
  const block = `model.layers.${layer}.self_attn`;
  const query = forward.linear(x, `${block}.q_proj`);
  const key = forward.linear(x, `${block}.k_proj`);
  const value = forward.linear(x, `${block}.v_proj`);
  return forward.linear(forward.attention({ layer, query, key, value }), `${block}.o_proj`);
}

function gatedMlp(forward: Forward, layer: number, x: Value): Value {
  const block = `model.layers.${layer}.mlp`;
  const gate = silu(forward.linear(x, `${block}.gate_proj`));
  return forward.linear(mul(gate, forward.linear(x, `${block}.up_proj`)), `${block}.down_proj`);
}

const norm = (forward: Forward, x: Value, name: string): Value => rmsNorm(x, forward.weight(`${name}.weight`), forward.config.rmsNormEps);

const headName = (config: ModelConfig): string => (config.tieWordEmbeddings ? EMBEDDING : 'lm_head.weight');
