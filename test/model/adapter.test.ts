import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { adapterTensors, createAdapter, loraScale, readAdapter, writeAdapter, type LoraConfig } from '../../model/adapter.ts';
import { ModelError } from '../../model/error.ts';
import { readSafetensors, writeSafetensors } from '../../model/weights/safetensors.ts';
import { seededRandom } from '../../trainer/random.ts';
import { maxAbs, openGolden } from './golden.ts';

const scratch = mkdtempSync(join(tmpdir(), 'adapter-'));
after(() => rmSync(scratch, { recursive: true }));
const { config: model, directory } = openGolden('llama-tied');
const lora: LoraConfig = { rank: 4, alpha: 8, rsLora: false, targets: ['q_proj', 'down_proj'] };

describe('a fresh adapter', () => {
  const adapter = createAdapter(model, lora, seededRandom(1));

  test('covers its targets in every layer, shaped as the weights', () => {
    assert.deepEqual([...adapter.modules.keys()], ['model.layers.0.self_attn.q_proj', 'model.layers.0.mlp.down_proj', 'model.layers.1.self_attn.q_proj', 'model.layers.1.mlp.down_proj']);
    const down = adapter.modules.get('model.layers.0.mlp.down_proj');
    assert.deepEqual([down?.a.shape, down?.b.shape], [[4, 56], [32, 4]]);
  });

  test('changes nothing yet: b is zero, a is uniform within ±√(1/in)', () => {
    for (const { a, b } of adapter.modules.values()) {
      const bound = Math.sqrt(1 / (a.shape[1] ?? 0));
      assert.ok(b.data.every((x) => x === 0));
      assert.ok(maxAbs(a.data) <= bound && maxAbs(a.data) > 0.9 * bound);
      assert.ok(Math.abs(a.data.reduce((sum, x) => sum + x, 0) / a.data.length) < 0.2 * bound);
    }
  });

  test('is the same for the same seed and another for another', () => {
    assert.deepEqual(createAdapter(model, lora, seededRandom(1)), adapter);
    assert.notDeepEqual(createAdapter(model, lora, seededRandom(2)), adapter);
  });

  test('knows its model\'s layers', () => {
    assert.throws(() => createAdapter(model, { ...lora, targets: ['q_proj', 'wq'] }, Math.random), (error) => error instanceof ModelError && error.code === 'invalid_config' && /"wq" is not a linear layer of llama; choose from q_proj,/.test(error.message));
    assert.throws(() => createAdapter(model, { ...lora, targets: ['lm_head'] }, Math.random), ModelError);
  });
});

test('the scale is alpha/rank, or alpha/√rank for rsLoRA', () => {
  assert.equal(loraScale({ ...lora, rank: 16, alpha: 32 }), 2);
  assert.equal(loraScale({ ...lora, rank: 16, alpha: 32, rsLora: true }), 8);
});

describe('PEFT\'s files', () => {
  test('are read', () => {
    const adapter = readAdapter(join(directory, 'lora_rs'), model);
    assert.deepEqual(adapter.config, { rank: 3, alpha: 6, rsLora: true, targets: ['q_proj', 'v_proj'] });
    assert.equal(adapter.modules.size, 4);
  });

  test('are written with the same names, shapes and settings', () => {
    const adapter = readAdapter(join(directory, 'lora'), model);
    const copy = join(scratch, 'copy');
    writeAdapter(copy, adapter, 'base');
    assert.deepEqual(readAdapter(copy, model), adapter);
    const [ours, theirs] = [copy, join(directory, 'lora')].map((path) => readSafetensors(join(path, 'adapter_model.safetensors')));
    assert.deepEqual([...ours?.names() ?? []].sort(), [...theirs?.names() ?? []].sort());
    const settings = (path: string): Record<string, unknown> => JSON.parse(readFileSync(join(path, 'adapter_config.json'), 'utf8'));
    for (const [key, value] of Object.entries(settings(copy))) if (key !== 'base_model_name_or_path') assert.deepEqual(value, settings(join(directory, 'lora'))[key], key);
  });

  test('may name their targets by a pattern, or leave layers out', () => {
    const path = broken('pattern', editConfig({ target_modules: String.raw`.*_proj` }));
    assert.deepEqual(readAdapter(path, model), readAdapter(join(directory, 'lora'), model));
    const part = broken('layer', editTensors((tensors) => { for (const name of tensors.keys()) if (!name.includes('layers.1.self_attn.q_proj')) tensors.delete(name); }));
    editConfig({ target_modules: ['q_proj'], layers_to_transform: 1 })(part);
    assert.deepEqual(readAdapter(part, model).config.targets, ['model.layers.1.self_attn.q_proj']);
    writeAdapter(join(scratch, 'part-again'), readAdapter(part, model), 'base');
    assert.deepEqual(readAdapter(join(scratch, 'part-again'), model), readAdapter(part, model));
  });

  const broken = (name: string, change: (path: string) => void): string => {
    const path = join(scratch, name);
    cpSync(join(directory, 'lora'), path, { recursive: true });
    change(path);
    return path;
  };
  const editConfig = (edit: Record<string, unknown>) => (path: string): void => {
    const file = join(path, 'adapter_config.json');
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...edit }));
  };
  const editTensors = (edit: (tensors: Map<string, { shape: readonly number[]; data: Float32Array }>) => void) => (path: string): void => {
    const file = join(path, 'adapter_model.safetensors');
    const tensors = new Map(adapterTensors(readAdapter(path, model)));
    edit(tensors);
    writeSafetensors(file, tensors);
  };
  const first = 'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight';
  const refused: readonly [string, (path: string) => void, ModelError['code'], RegExp][] = [
    ['no file', (path) => rmSync(join(path, 'adapter_config.json')), 'not_found', /can't be read/],
    ['no JSON', (path) => writeFileSync(join(path, 'adapter_config.json'), '{'), 'corrupt', /not JSON/],
    ['DoRA', editConfig({ use_dora: true }), 'unsupported', /use_dora/],
    ['ranks by pattern', editConfig({ rank_pattern: { q_proj: 8 } }), 'unsupported', /rank_pattern/],
    ['extra trained modules', editConfig({ modules_to_save: ['lm_head'] }), 'unsupported', /modules_to_save/],
    ['a bias', editConfig({ bias: 'lora_only' }), 'unsupported', /bias/],
    ['alphas by pattern', editConfig({ alpha_pattern: { q_proj: 8 } }), 'unsupported', /alpha_pattern/],
    ['a start that changes the base', editConfig({ init_lora_weights: 'pissa' }), 'unsupported', /changes the base weights.*init_lora_weights/],
    ['an activation of its own', editConfig({ alora_invocation_tokens: [1, 2] }), 'unsupported', /alora_invocation_tokens/],
    ['a setting of the future', editConfig({ use_something_new: true }), 'unsupported', /use_something_new/],
    ['transposed weights', editConfig({ fan_in_fan_out: true }), 'unsupported', /fan_in_fan_out/],
    ['another kind of adapter', editConfig({ peft_type: 'IA3' }), 'unsupported', /peft_type/],
    ['another rank', editConfig({ r: 5 }), 'invalid_config', /has shape \[4, 32\]; this model needs \[5, 32\]/],
    ['a target the model lacks', editConfig({ target_modules: ['c_attn'] }), 'invalid_config', /"c_attn" is not a linear layer/],
    ['a missing tensor', editTensors((tensors) => tensors.delete(first)), 'invalid_config', /has no tensor/],
    ['a tensor too many', editTensors((tensors) => tensors.set('base_model.model.lm_head.lora_A.weight', { shape: [1], data: new Float32Array(1) })), 'invalid_config', /1 tensors that belong to none of its target modules in this model, "base_model.model.lm_head.lora_A.weight" first/],
  ];
  for (const [what, change, code, message] of refused) {
    test(`are refused: ${what}`, () => assert.throws(() => readAdapter(broken(what.replaceAll(' ', '-'), change), model), (error) => error instanceof ModelError && error.code === code && message.test(error.message)));
  }
});
