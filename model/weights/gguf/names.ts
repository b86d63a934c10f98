/** llama.cpp's tensor names and row order for the llama architecture, against Hugging Face's (`gguf/tensor_mapping.py`). */

const LAYER_PARTS: Readonly<Record<string, string>> = {
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

const OUTER: Readonly<Record<string, string>> = {
  'token_embd.weight': 'model.embed_tokens.weight',
  'output_norm.weight': 'model.norm.weight',
  'output.weight': 'lm_head.weight',
};

/** `blk.3.attn_q.weight` → `model.layers.3.self_attn.q_proj.weight`; undefined for a tensor that a Llama model does not have. */
export function hubName(name: string): string | undefined {
  const [, layer, part] = /^blk\.(\d+)\.([a-z_]+)\.weight$/.exec(name) ?? [];
  if (layer === undefined || part === undefined) return OUTER[name];
  const hubPart = LAYER_PARTS[part];
  return hubPart && `model.layers.${layer}.${hubPart}.weight`;
}

/**
 * llama.cpp rotates neighbouring pairs, transformers the two halves of a head, so the converter interleaves the rows of each q and k
 * head (`convert_hf_to_gguf.py`, `LlamaModel.permute`). This puts them back: row `2i + j` of a head becomes row `j·d/2 + i`.
 *
 * @param data `[heads · d, columns]`
 */
export function unpermuteHeads(data: Float32Array, heads: number, columns: number): Float32Array {
  const rows = data.length / columns;
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
  return out;
}
