import assert from 'node:assert/strict';
import { appendFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { StoreError } from '../../store/errors.ts';
import { giveReward } from '../../store/rewards.ts';
import { findRound } from '../../store/rounds.ts';
import { TrainerError } from '../../trainer/error.ts';
import { policyVersion } from '../../trainer/policy.ts';
import { type Replay, replayRound } from '../../trainer/replay.ts';
import { trackProgress } from '../../trainer/round-progress.ts';
import { collect, makeWorld, trainerConfig, trainOnce, type World } from './world.ts';

const config = trainerConfig({ epochs: 2, minibatches: 2, optimizer: { learningRate: 0.01 } });

/** Three rounds on rollouts of their own. */
async function trained(): Promise<World> {
  const world = makeWorld();
  const policy = await world.policy(config);
  policy.load(policyVersion(world.db, 0), 1);
  for (let version = 0; version < 3; version++) {
    await collect(world.db, policy.learner, { tasks: 2, group: 4, seed: version, version });
    assert.equal((await trainOnce(world, policy, config, version)).state, 'promoted');
  }
  return world;
}

function replay(world: World, id: number): Promise<Replay> {
  return replayRound({ db: world.db, openPolicy: (asPlanned) => world.policy(asPlanned), progress: trackProgress(() => {}, new AbortController().signal) }, id);
}

const refused = (code: TrainerError['code'], message: RegExp) => (error: unknown): boolean => {
  assert.ok(error instanceof TrainerError, String(error));
  assert.equal(error.code, code);
  assert.match(error.message, message);
  return true;
};

await test('a round run again from its rows gives the published bytes, whatever happened since', async () => {
  await using world = await trained();
  // Another reward for what the round has used, and one more in the history.
  giveReward(world.db, { target: { rolloutId: 'ro_1_0_0' }, value: 0, source: 'admin' });
  giveReward(world.db, { target: { rolloutId: 'ro_1_1_2' }, value: 9, name: 'style', source: 'admin' });
  for (const id of [1, 2, 3]) {
    const { files, same, differences, steps } = await replay(world, id);
    assert.ok(same, differences.join('; '));
    assert.equal(steps, 16);
    assert.deepEqual(files.map(({ name }) => name), ['adapter_model.safetensors', 'optimizer.safetensors']);
    for (const { published, replayed } of files) assert.equal(replayed, published);
  }
  assert.equal(findRound(world.db, 2)?.resultVersion, 2, 'its row is as it was');
});

for (const overrides of [
  ...['grpo', 'dr-grpo', 'dapo', 'gspo', 'cispo', 'rloo', 'reinforce-pp', 'reinforce-pp-baseline', 'ppo'].map((name) => ({ algorithm: { name } })),
  { correction: { importance: { level: 'sequence' } }, credit: { name: 'discounted' } },
  { method: 'full', optimizer: { learningRate: 0.002 } },
]) {
  await test(`the same bytes again, of a trainer that goes on and of one that starts anew: ${JSON.stringify(overrides)}`, async () => {
    const hashes: (string | null)[][] = [];
    for (const restarts of [false, true]) {
      await using world = makeWorld();
      const own = trainerConfig({ epochs: 2, minibatches: 2, optimizer: { learningRate: 0.01, weightDecay: 0.1 }, ...overrides });
      let policy = await world.policy(own);
      for (let version = 0; version < 2; version++) {
        if (restarts) policy = await world.policy(own);
        policy.load(policyVersion(world.db, version), 1);
        await collect(world.db, policy.learner, { tasks: 2, group: 4, seed: version, version });
        assert.equal((await trainOnce(world, policy, own, version)).state, 'promoted');
      }
      const { files, same, differences } = await replay(world, 2);
      assert.ok(same, differences.join('; '));
      assert.equal(files.some(({ name }) => name === 'value_head.safetensors'), own.algorithm.name === 'ppo');
      hashes.push(files.map(({ published }) => published));
    }
    assert.deepEqual(hashes[1], hashes[0]);
  });
}

await test('a step that changed or is gone is named, before anything is computed', async () => {
  await using world = await trained();
  const { sqlite } = world.db;
  sqlite.prepare('update steps set logprobs = zeroblob(8) where id = ?').run('st_1_0_2_1');
  await assert.rejects(replay(world, 2), refused('changed', /^Round 2 cannot be run as it was planned: step st_1_0_2_1 is not what it was\.$/));
  sqlite.pragma('foreign_keys = OFF');
  sqlite.prepare('delete from steps where id in (?, ?)').run('st_1_0_0_0', 'st_1_1_3_1');
  await assert.rejects(replay(world, 2), refused('changed', /step st_1_0_0_0 is gone, step st_1_0_2_1 is not what it was, step st_1_1_3_1 is gone/));
  assert.ok((await replay(world, 3)).same, 'the next round has its own steps');
});

await test('other rewards in the rows make other bytes, and it says whose advantage that is', async () => {
  await using world = await trained();
  world.db.sqlite.prepare('update rewards set value = value + 0.3 where rollout_id = ?').run('ro_1_0_1');
  const { same, files, differences } = await replay(world, 2);
  assert.ok(!same);
  assert.deepEqual(files.map(({ published, replayed }) => published === replayed), [false, false]);
  assert.match(differences.join('\n'), /the credit of step st_1_0_1_0 was [\d.]+ and is [\d.]+ now/);
  assert.match(differences.join('\n'), /\d+ of \d+ tensors differ, most .*lora_[AB].*, by /);
  const environment = { onnxruntime: '1.0.0', platform: 'x', cpu: 'y' };
  world.db.sqlite.prepare('update rounds set environment = ?').run(JSON.stringify(environment));
  assert.match((await replay(world, 2)).differences.join('\n'), /onnxruntime was 1\.0\.0 and is /);
});

await test('what cannot be run again is refused in a sentence', async () => {
  await using world = await trained();
  const { db } = world;
  await assert.rejects(replay(world, 99), (error) => error instanceof StoreError && error.code === 'unknown_round');
  const empty = await trainOnce(world, await world.policy(config), config, 3);
  await assert.rejects(replay(world, empty.id), refused('not_replayable', /Round 4 is empty and published nothing/));

  appendFileSync(join(db.dataDir, 'policies/3/optimizer.safetensors'), 'x');
  await assert.rejects(replay(world, 3), refused('corrupt_policy', /optimizer\.safetensors is not what was published/));
  rmSync(join(db.dataDir, 'policies/1/adapter_model.safetensors'));
  await assert.rejects(replay(world, 2), refused('corrupt_policy', /policies\/1\/adapter_model\.safetensors is gone/));
  rmSync(join(db.dataDir, 'policies/1'), { recursive: true });
  await assert.rejects(replay(world, 2), refused('corrupt_policy', /policies\/1\/policy\.json is gone/));

  db.sqlite.prepare('update rounds set rewards_through = null').run();
  await assert.rejects(replay(world, 2), refused('not_replayable', /made before rounds were planned/));
});
