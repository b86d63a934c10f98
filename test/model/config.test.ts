import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseModelConfig, withGenerationConfig } from '../../model/config.ts';
import type { AttentionConfig } from '../../model/hub-config.ts';
import type { RopeConfig } from '../../model/model.ts';

function read(path: string): Record<string, unknown> {
  return JSON.parse(readFileSync(new URL(`../fixtures/golden/models/${path}`, import.meta.url), 'utf8')) as Record<string, unknown>;
}
const base = read('llama-tied/config.json');

const llama3: RopeConfig = { type: 'llama3', theta: 500000, factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositions: 64 };
const attentions: Record<string, AttentionConfig> = {
  'llama-tied': { rope: { type: 'default', theta: 10000 }, sliding: null, attentionScale: 8 ** -0.5 },
  'llama-untied-llama3rope': { rope: llama3, sliding: null, attentionScale: 12 ** -0.5 },
  qwen2: { rope: { type: 'default', theta: 1e6 }, sliding: null, attentionScale: 10 ** -0.5 },
  qwen3: { rope: { type: 'default', theta: 1e6 }, sliding: null, attentionScale: 0.25 },
  'gemma3-text': {
    rope: { type: 'linear', theta: 1e6, factor: 8 },
    sliding: { window: 6, layers: [true, true, false, true], rope: { type: 'default', theta: 10000 } },
    attentionScale: 24 ** -0.5,
  },
};

for (const [name, attention] of Object.entries(attentions)) {
  test(`${name}: the layouts of transformers 4 and 5 say the same`, () => {
    const config = parseModelConfig(read(`${name}/config.json`), name);
    const { rope, sliding, attentionScale } = config;
    assert.deepEqual({ rope, sliding, attentionScale }, attention);
    assert.deepEqual(parseModelConfig(read(`${name}/config.v4.json`), name), config);
  });
}

test('every key finds its place', () => {
  assert.deepEqual(parseModelConfig(base, 'm'), {
    architecture: 'llama', vocabSize: 97, hiddenSize: 32, intermediateSize: 56, layers: 2, heads: 4, kvHeads: 2, headDim: 8, rmsNormEps: 1e-5,
    rope: { type: 'default', theta: 10000 }, sliding: null, attentionScale: 8 ** -0.5, tieWordEmbeddings: true, maxPositions: 128, bosTokenId: 1, eosTokenIds: [2], padTokenId: 0,
  });
});

test("absent keys have transformers' defaults", () => {
  const { num_key_value_heads: _kv, head_dim: _head, rope_parameters: _rope, tie_word_embeddings: _tie, rms_norm_eps: _eps, pad_token_id: _pad, eos_token_id: _eos, ...sparse } = base;
  const config = parseModelConfig(sparse, 'm');
  assert.deepEqual(
    [config.kvHeads, config.headDim, config.rope, config.tieWordEmbeddings, config.rmsNormEps, config.padTokenId, config.eosTokenIds],
    [4, 8, { type: 'default', theta: 10000 }, false, 1e-6, null, []],
  );
});

test('each family has its own defaults', () => {
  const { head_dim: _head, num_key_value_heads: _kv, ...qwen3 } = read('qwen3/config.json');
  assert.equal(parseModelConfig({ ...qwen3, num_attention_heads: 64 }, 'm').headDim, 128);
  const { layer_types: _types, rope_parameters: _ropes, tie_word_embeddings: _tie, query_pre_attn_scalar: _scalar, sliding_window_pattern: _pattern, ...gemma } = read('gemma3-text/config.json');
  const { rope, sliding, attentionScale, tieWordEmbeddings } = parseModelConfig({ ...gemma, num_hidden_layers: 7 }, 'm');
  assert.deepEqual([rope, attentionScale, tieWordEmbeddings], [{ type: 'default', theta: 1e6 }, 1 / 16, true]);
  assert.deepEqual(sliding, { window: 6, layers: [true, true, true, true, true, false, true], rope: { type: 'default', theta: 1e4 } });
});

test('the rope type may be called by its old name', () => {
  const { rope_parameters: _rope, ...v4 } = base;
  const scaling = { type: 'llama3', factor: 32, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };
  assert.equal(parseModelConfig({ ...v4, rope_theta: 5e5, rope_scaling: scaling }, 'm').rope.type, 'llama3');
});

const unsupported: Record<string, [change: Record<string, unknown>, message: RegExp]> = {
  'another model type': [{ model_type: 'mistral' }, /model_type "mistral" \(llama, qwen2, qwen3, gemma3_text are\)/],
  'another architecture': [{ architectures: ['LlamaForSequenceClassification'] }, /architecture "LlamaForSequenceClassification"/],
  'attention bias': [{ attention_bias: true }, /attention_bias/],
  'MLP bias': [{ mlp_bias: true }, /mlp_bias/],
  'another activation': [{ hidden_act: 'gelu' }, /hidden_act: "gelu" \("silu" is\)/],
  'another rope': [{ rope_parameters: { rope_type: 'yarn', factor: 4, rope_theta: 1e4 } }, /rope type "yarn"/],
  'another rope, old layout': [{ rope_parameters: null, rope_scaling: { type: 'dynamic', factor: 2 } }, /rope type "dynamic"/],
  'partial rotation': [{ partial_rotary_factor: 0.5 }, /partial_rotary_factor: 0.5/],
  quantization: [{ quantization_config: { quant_method: 'awq' } }, /quantization_config/],
  'a sliding window': [{ sliding_window: 4096 }, /sliding_window: 4096/],
  'capped logits': [{ final_logit_softcapping: 30 }, /final_logit_softcapping: 30/],
  'a rope parameter of another kind': [{ rope_parameters: { rope_type: 'default', mrope_section: [16, 24, 24] } }, /mrope_section of the rope parameters/],
  'a partial rotation, in the rope parameters': [{ rope_parameters: { partial_rotary_factor: 0.25 } }, /partial_rotary_factor: 0.25/],
  'a layer type': [{ layer_types: ['full_attention', 'sliding_attention'] }, /layer type "sliding_attention" in a llama model/],
};
const unsupportedOf: Record<string, [change: Record<string, unknown>, message: RegExp][]> = {
  qwen2: [[{ use_sliding_window: true, sliding_window: 4096 }, /use_sliding_window: true/], [{ use_mrope: true }, /use_mrope: true/]],
  qwen3: [[{ attention_bias: true }, /attention_bias: true/], [{ architectures: ['Qwen3MoeForCausalLM'] }, /architecture "Qwen3MoeForCausalLM" of a qwen3 model/]],
  'gemma3-text': [
    [{ hidden_activation: 'gelu' }, /hidden_activation: "gelu" \("gelu_pytorch_tanh" is\)/],
    [{ use_bidirectional_attention: true }, /use_bidirectional_attention: true/],
    [{ layer_types: ['chunked_attention', 'full_attention', 'full_attention', 'full_attention'] }, /layer type "chunked_attention"/],
    [{ attn_logit_softcapping: 50 }, /attn_logit_softcapping: 50/],
  ],
};
for (const [name, changes] of Object.entries(unsupportedOf)) {
  for (const [change, message] of changes) {
    test(`${name}: ${message.source} is refused`, () => assert.throws(() => parseModelConfig({ ...read(`${name}/config.json`), ...change }, 'm'), { code: 'unsupported', message }));
  }
}
for (const [what, [change, message]] of Object.entries(unsupported)) {
  test(`${what} is refused by name`, () => {
    assert.throws(() => parseModelConfig({ ...base, ...change }, 'dir/config.json'), { name: 'ModelError', code: 'unsupported', message });
    assert.throws(() => parseModelConfig({ ...base, ...change }, 'dir/config.json'), /^ModelError: dir\/config\.json: /);
  });
}

test('nonsense is not valid, and the key is named', () => {
  const invalid = (config: unknown, message: RegExp): void => assert.throws(() => parseModelConfig(config, 'c'), { name: 'ModelError', code: 'invalid_config', message });
  invalid({ ...base, hidden_size: '32' }, /hidden_size/);
  invalid({ ...base, num_hidden_layers: 0 }, /num_hidden_layers/);
  invalid({ ...base, num_key_value_heads: 3 }, /4 attention heads cannot share 3/);
  invalid({ ...base, head_dim: 7 }, /head dimension of 7/);
  invalid({ ...base, rope_parameters: { rope_type: 'llama3', factor: 8 } }, /llama3 rope needs low_freq_factor/);
  invalid({ ...base, rope_parameters: { rope_type: 5 } }, /rope parameters are not valid/);
  invalid({ ...base, rope_parameters: { rope_type: 'linear' } }, /linear rope needs a factor/);
  invalid([], /c: /);
  invalid(null, /c: /);
});

test('the generation configuration adds end tokens', () => {
  const config = parseModelConfig(base, 'm');
  assert.deepEqual(withGenerationConfig(config, { eos_token_id: [2, 5], temperature: 0.6 }, 'g').eosTokenIds, [2, 5]);
  assert.deepEqual(withGenerationConfig(config, { bos_token_id: 7 }, 'g'), config, 'the model configuration comes first');
  assert.throws(() => withGenerationConfig(config, { eos_token_id: 'x' }, 'g'), { code: 'invalid_config' });
});
