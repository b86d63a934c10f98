import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { policyVersion } from '../../../trainer/policy.ts';
import { goldenPath } from '../../trainer/golden.ts';
import { collect, makeWorld, trainerConfig, trainOnce } from '../../trainer/world.ts';
import { fulgurite } from '../spawn.ts';

await test('rounds replay: compares the bytes of a round, and ends with 1 and the reason where they differ', async () => {
  await using world = makeWorld();
  const { db } = world;
  // The tiny golden model with a tokenizer, so that it is a whole Hugging Face directory.
  const model = join(db.dataDir, 'model');
  cpSync(world.model.path, model, { recursive: true, filter: (source) => !source.includes('lora') });
  cpSync(goldenPath('tokenizers/qwen/tokenizer.json'), join(model, 'tokenizer.json'));
  const config = trainerConfig();
  const policy = await world.policy(config);
  policy.load(policyVersion(db, 0), 1);
  await collect(db, policy.learner, { tasks: 1, group: 4, seed: 0, version: 0 });
  const { id } = await trainOnce(world, policy, config, 0);

  const replay = (...args: string[]) => fulgurite(['rounds', 'replay', ...args, '--model', model, '--data', db.dataDir]).finished;
  const same = await replay(String(id));
  assert.equal(same.code, 0, same.stderr);
  assert.match(same.stdout, /^Round 1: version 0 to 1, 8 steps, seed 1\.\n {2}same {7}adapter_model\.safetensors {2}[0-9a-f]{64}\n {2}same {7}optimizer\.safetensors/);

  db.sqlite.prepare('update rewards set value = 1 - value where rollout_id = ?').run('ro_0_0_0');
  const other = await replay(String(id));
  assert.equal(other.code, 1);
  assert.match(other.stdout, /different {2}adapter_model\.safetensors {2}published [0-9a-f]{64}, now [0-9a-f]{64}\n/);
  assert.match(other.stdout, /the credit of step st_0_0_0_0 was /);
  assert.equal(other.stderr, 'Round 1 does not give the bytes that were published.\n');

  const none = await replay('7');
  assert.deepEqual([none.code, none.stderr], [1, 'There is no round 7.\n']);
});
