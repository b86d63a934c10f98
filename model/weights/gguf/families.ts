/** What llama.cpp makes of each family: other names for its tensors (`gguf/tensor_mapping.py`), and other numbers in some (`convert_hf_to_gguf.py`). */
import type { ModelConfig, Tensor } from '../../model.ts';

export interface GgufFamily {
  /** `model_type` of the `config.json` it was made from. */
  readonly modelType: string;
  /** Parts of a block, by llama.cpp's names, under their names on the Hub. */
  readonly parts: Readonly<Record<string, string>>;
  /** Undoes what the converter did to a tensor's numbers; `name` is the Hub's. */
  readonly restore: (tensor: Tensor, name: string, config: ModelConfig) => Tensor;
}

const OUTER: Readonly<Record<string, string>> = {
  'token_embd.weight': 'model.embed_tokens.weight',
  'output_norm.weight': 'model.norm.weight',
  'output.weight': 'lm_head.weight',
};

const PARTS = {
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_output: 'self_attn.o_proj',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
  attn_norm: 'input_layernorm',
  ffn_norm: 'post_attention_layernorm',
};

const HEAD_NORMS = { attn_q_norm: 'self_attn.q_norm', attn_k_norm: 'self_attn.k_norm' };

const asStored = (tensor: Tensor): Tensor => tensor;

/** By `general.architecture`. */
export const GGUF_FAMILIES: ReadonlyMap<string, GgufFamily> = new Map([
  ['llama', { modelType: 'llama', parts: PARTS, restore: unpermuteHeads }],
  ['qwen2', { modelType: 'qwen2', parts: PARTS, restore: asStored }],
  ['qwen3', { modelType: 'qwen3', parts: { ...PARTS, ...HEAD_NORMS }, restore: asStored }],
  ['gemma3', {
    modelType: 'gemma3_text',
    parts: { ...PARTS, ...HEAD_NORMS, post_attention_norm: 'post_attention_layernorm', ffn_norm: 'pre_feedforward_layernorm', post_ffw_norm: 'post_feedforward_layernorm' },
    restore: subtractOneFromNorms,
  }],
]);

/** `blk.3.attn_q.weight` → `model.layers.3.self_attn.q_proj.weight`; undefined for a tensor that the family does not have. */
export function hubName(name: string, { parts }: GgufFamily): string | undefined {
  const [, layer, part, kind] = /^blk\.(\d+)\.([a-z_]+)\.(weight|bias)$/.exec(name) ?? [];
  if (layer === undefined || part === undefined) return OUTER[name];
  const hubPart = parts[part];
  return hubPart && `model.layers.${layer}.${hubPart}.${kind}`;
}

/**
 * llama.cpp rotates neighbouring pairs in a Llama, transformers the two halves of a head, so the converter interleaves the rows of each
 * q and k head (`LlamaModel.permute`). This puts them back: row `2i + j` of a head becomes row `j·d/2 + i`.
 */
function unpermuteHeads(tensor: Tensor, name: string, config: ModelConfig): Tensor {
  const heads = name.endsWith('.q_proj.weight') ? config.heads : name.endsWith('.k_proj.weight') ? config.kvHeads : 0;
  if (heads === 0) return tensor;
  const { shape, data } = tensor;
  const [rows = 0, columns = 0] = shape;
  const half = rows / heads / 2;
  const out = new Float32Array(data.length);
  for (let head = 0; head < heads; head++) {
    for (let i = 0; i < half; i++) {
      for (let j = 0; j < 2; j++) {
        const from = (head * 2 * half + 2 * i + j) * columns;
        out.set(data.subarray(from, from + columns), (head * 2 * half + j * half + i) * columns);
      }
    }
  }
  return { shape, data: out };
}

/** Gemma's norms multiply by 1 + w, llama.cpp's by what is stored. */
function subtractOneFromNorms(tensor: Tensor, name: string): Tensor {
  return name.endsWith('norm.weight') ? { shape: tensor.shape, data: tensor.data.map((weight) => weight - 1) } : tensor;
}
