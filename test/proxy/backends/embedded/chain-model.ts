/**
 * A real Llama whose greedy answers are known: embeddings are one-hot, attention and MLP add nothing, and the head sends each token
 * to its successor. So it says what the chains below say, through the real engine; which one, the end of the prompt decides.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Tensor } from '../../../../model/model.ts';
import { writeSafetensors } from '../../../../model/weights/safetensors.ts';

const end = '<|im_end|>';
const bytesOfE = ['Ã', '©'] as const; // "é", as byte-level tokenizers write its two bytes

type Chains = readonly (readonly string[])[];

/** No token stands in two chains, or twice in one: each has one successor. */
export const chains: Chains = [
  ['<say>', 'Red', ',', ' Blue', ' and', ' caf', ...bytesOfE, ' Green', '!', ' Done', end],
  ['<answer>', 'It is', ' 3', '.', end],
  ['<call>', '<tool_call>', '\n{"name": "', 'add', '", "arguments": {', '"a": 1', ', "b": "é"', '}}', '\n</tool_call>', end],
  ['<calls>', 'Both:\n', '<tool_call>\n{"name": "add"', ', "arguments": {"a": 1}}\n</tool_call>', '\n<tool_call>\n{"name": "mul', '", "arguments": {}}\n</tool_call>', end],
];

/** With tools the model calls one; after a tool's result it answers; else it says the colours. */
const template = `{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}{% for call in message.tool_calls or [] %}<tool_call>
{{ call.function | tojson }}
</tool_call>{% endfor %}<|im_end|>
{% endfor %}{% if tools %}{% for tool in tools %}{{ tool | tojson }}{% endfor %}{% endif %}{% if messages[-1].role == 'tool' %}<answer>{% elif tools %}{% if tools | length > 1 %}<calls>{% else %}<call>{% endif %}{% else %}<say>{% endif %}`;

const special = ['<|im_start|>', end];
const hidden = 320, layers = 1, heads = 4, headDim = 80, intermediate = 16;

/** GPT-2's printable stand-ins for the 256 bytes. */
function byteAlphabet(): string[] {
  const printable = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
}

function vocabulary(): { tokens: string[]; added: string[] } {
  const alphabet = byteAlphabet();
  const inChains = new Set(chains.flat().filter((token) => !alphabet.includes(token) && !special.includes(token)));
  const added = [...special, ...inChains];
  return { tokens: [...added, ...alphabet], added };
}

/** Tokens of the vocabulary, and how many nats the successor's logit is above all others. */
export const facts = { vocabSize: vocabulary().tokens.length, margin: 0.35 * Math.sqrt(hidden) };

function weights(tokens: readonly string[], chains: Chains): ReadonlyMap<string, Tensor> {
  const zeros = (...shape: number[]): Tensor => ({ shape, data: new Float32Array(shape.reduce((a, b) => a * b)) });
  const ones = (size: number): Tensor => ({ shape: [size], data: new Float32Array(size).fill(1) });
  const id = (token: string) => tokens.indexOf(token);
  const embedding = zeros(tokens.length, hidden), head = zeros(tokens.length, hidden);
  for (const index of tokens.keys()) embedding.data[index * hidden + index] = 1;
  for (const chain of chains) {
    // The norm scales a one-hot row by √hidden ≈ 17.9: the successor is 6.3 nats above the rest, about 2 to 1 against all of it.
    for (const [i, token] of chain.entries()) if (i > 0) head.data[id(token) * hidden + id(chain[i - 1] ?? '')] = 0.35;
  }
  const layer = (index: number): [string, Tensor][] => {
    const at = (name: string) => `model.layers.${index}.${name}.weight`;
    return [
      [at('input_layernorm'), ones(hidden)], [at('post_attention_layernorm'), ones(hidden)],
      ...['q_proj', 'k_proj', 'v_proj', 'o_proj'].map((name): [string, Tensor] => [at(`self_attn.${name}`), zeros(heads * headDim, hidden)]),
      [at('mlp.gate_proj'), zeros(intermediate, hidden)], [at('mlp.up_proj'), zeros(intermediate, hidden)], [at('mlp.down_proj'), zeros(hidden, intermediate)],
    ];
  };
  return new Map([
    ['model.embed_tokens.weight', embedding], ['lm_head.weight', head], ['model.norm.weight', ones(hidden)],
    ...Array.from({ length: layers }, (_, index) => layer(index)).flat(),
  ]);
}

/** Writes the model as a Hugging Face directory. @param spoken other chains of the same tokens: what training would make of it */
export function writeChainModel(directory: string, spoken: Chains = chains): string {
  const { tokens, added } = vocabulary();
  const write = (name: string, json: object) => { writeFileSync(join(directory, name), JSON.stringify(json)); };
  mkdirSync(directory, { recursive: true });
  write('config.json', {
    architectures: ['LlamaForCausalLM'], model_type: 'llama', hidden_act: 'silu', vocab_size: tokens.length, hidden_size: hidden,
    intermediate_size: intermediate, num_hidden_layers: layers, num_attention_heads: heads, num_key_value_heads: heads, head_dim: headDim,
    rms_norm_eps: 1e-6, rope_theta: 10_000, max_position_embeddings: 2048, tie_word_embeddings: false, eos_token_id: 1,
  });
  write('tokenizer.json', {
    version: '1.0', truncation: null, padding: null, normalizer: null, post_processor: null,
    added_tokens: added.map((content, id) => ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: special.includes(content) })),
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: false,
      byte_fallback: false, ignore_merges: false, vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges: [],
    },
  });
  write('tokenizer_config.json', { eos_token: end, chat_template: template });
  writeSafetensors(join(directory, 'model.safetensors'), weights(tokens, spoken));
  return directory;
}
