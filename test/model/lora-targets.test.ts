import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { linearModules, targetModules, targetNames } from '../../model/lora-targets.ts';
import { parsePeftConfig } from '../../model/peft-config.ts';
import { openGolden } from './golden.ts';

const { config: model } = openGolden('qwen3');
const cases: { rules: Record<string, unknown>; modules: string[] }[] = JSON.parse(readFileSync(new URL('../fixtures/peft/targets.json', import.meta.url), 'utf8'));

describe('PEFT\'s settings mean the modules that PEFT changes', () => {
  for (const { rules, modules } of cases) {
    test(JSON.stringify(rules), () => {
      const parsed = parsePeftConfig({ peft_type: 'LORA', r: 2, lora_alpha: 4, ...rules });
      assert.ok(typeof parsed !== 'string');
      const found = [...targetModules(model, parsed.rules).keys()];
      assert.deepEqual(found.toSorted(), modules.toSorted());
      assert.deepEqual([...targetModules(model, { targets: targetNames(model, found) }).keys()], found, 'as we would write them');
    });
  }
});

test('the shortest list of names', () => {
  assert.deepEqual(targetNames(model, linearModules(model).keys()), ['down_proj', 'gate_proj', 'k_proj', 'o_proj', 'q_proj', 'up_proj', 'v_proj']);
  assert.deepEqual(targetNames(model, ['model.layers.1.self_attn.v_proj', 'model.layers.0.self_attn.v_proj']), ['model.layers.0.self_attn.v_proj', 'model.layers.1.self_attn.v_proj']);
});

test('what matches nothing, or cannot be read, is refused', () => {
  const refused = (targets: string | string[], message: RegExp): void => assert.throws(() => targetModules(model, { targets }), { code: 'invalid_config', message });
  refused('.*\\.c_attn', /match no linear layer/);
  refused('(?i).*Q_PROJ', /can't be read/);
  refused(['q_proj', 'embed_tokens'], /"embed_tokens" is not a linear layer of qwen3; choose from q_proj/);
});
