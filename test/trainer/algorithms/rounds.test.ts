/** Every algorithm through whole rounds: real model, real database, real gradients. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { currentVersion } from '../../../store/policies.ts';
import { listRoundSteps } from '../../../store/round-steps.ts';
import type { Round } from '../../../store/rounds.ts';
import { collect, type CollectOptions, makeWorld, trainerConfig, trainOnce, type World } from '../world.ts';
import type { TrainerConfig } from '../../../config/schema.ts';
import { policyVersion, type TrainingPolicy } from '../../../trainer/policy.ts';

const lively = { optimizer: { learningRate: 0.03 } };

interface Course { readonly rewards: readonly number[]; readonly rounds: readonly Round[]; readonly policy: TrainingPolicy }

/** Collects and trains, `rounds` times. */
async function learn(world: World, config: TrainerConfig, rounds: number, options: Partial<CollectOptions> = {}, name = 'v'): Promise<Course> {
  const policy = await world.policy(config);
  policy.load(policyVersion(world.db, 0), 1);
  const rewards: number[] = [];
  const ended: Round[] = [];
  for (let version = 0; version < rounds; version++) {
    rewards.push(await collect(world.db, policy.learner, { tasks: 4, group: 8, seed: version, version, name: `${name}${version}`, ...options }));
    ended.push(await trainOnce(world, policy, config, version));
  }
  rewards.push(await collect(world.db, policy.learner, { tasks: 4, group: 8, seed: rounds, version: rounds, name: `${name}${rounds}`, ...options }));
  return { rewards, rounds: ended, policy };
}

const courses: readonly [name: string, overrides: Record<string, unknown>][] = [
  ['grpo', { algorithm: { name: 'grpo' } }],
  ['grpo with a KL, an entropy bonus and dual clip', { algorithm: { klCoefficient: 0.01, klEstimator: 'k3+', entropyCoefficient: 0.001, dualClip: 3 }, epochs: 2 }],
  ['dr-grpo', { algorithm: { name: 'dr-grpo', normalizer: 2 } }],
  ['dapo', { algorithm: { name: 'dapo', overlong: { maxTokens: 3, cacheTokens: 2 } } }],
  ['gspo', { algorithm: { name: 'gspo' } }],
  ['cispo', { algorithm: { name: 'cispo' }, epochs: 2 }],
  ['ppo', { algorithm: { name: 'ppo', valueClip: 0.5, klCost: 0.001 }, epochs: 2 }],
  ['ppo with turn values', { algorithm: { name: 'ppo' }, credit: { name: 'turn-values' } }],
  ['rloo', { algorithm: { name: 'rloo', klCost: 0.001 } }],
  ['rloo with a sequence ratio', { algorithm: { name: 'rloo', ratio: 'sequence' }, epochs: 2, minibatches: 2 }],
  ['reinforce-pp', { algorithm: { name: 'reinforce-pp', klCost: 0.001 } }],
  ['reinforce-pp-baseline', { algorithm: { name: 'reinforce-pp-baseline', klCoefficient: 0.001 } }],
  ['grpo with discounted credit', { credit: { name: 'discounted', gamma: 0.9 } }],
  ['grpo with truncated importance weights', { correction: { importance: {} }, minibatches: 2 }],
  ['gspo with masked weights, rejection and an off-policy mask', { algorithm: { name: 'gspo' }, correction: { importance: { level: 'sequence', mode: 'mask', min: 0.5 }, rejection: { min: 0.5, max: 2 }, offPolicyMask: 1 } }],
];
for (const [name, overrides] of courses) {
  await test(`${name} gets better`, async () => {
    await using world = makeWorld();
    const { rewards, rounds } = await learn(world, trainerConfig({ ...lively, ...overrides }), 3);
    for (const { state, error, metrics } of rounds) {
      assert.equal(state, 'promoted', error ?? '');
      for (const [metric, value] of Object.entries(metrics ?? {})) assert.ok(Number.isFinite(value), `${metric} is ${value}`);
    }
    assert.ok((rewards.at(-1) ?? NaN) > (rewards[0] ?? NaN) + 0.1, `rewards by round: ${rewards.join(', ')}`);
  });
}

await test('intermediate rewards alone teach', async () => {
  await using world = makeWorld();
  const config = trainerConfig({ ...lively, credit: { name: 'intermediate', gamma: 0 } });
  let earned = 0;
  const sums: number[] = [];
  const intermediate = (tokens: readonly number[]): number => {
    const value = tokens.filter((token) => token % 2 === 0).length / tokens.length;
    earned += value;
    return value;
  };
  const policy = await world.policy(config);
  policy.load(policyVersion(world.db, 0), 1);
  for (let version = 0; version < 4; version++) {
    earned = 0;
    await collect(world.db, policy.learner, { tasks: 4, group: 8, seed: version, version, reward: () => null, intermediate });
    sums.push(earned / 64);
    await trainOnce(world, policy, config, version);
  }
  assert.ok((sums.at(-1) ?? NaN) > (sums[0] ?? NaN) + 0.1, sums.join(', '));
});

for (const name of ['ppo', 'reinforce-pp']) {
  await test(`${name} learns from live traffic, which grpo leaves out`, async () => {
    await using world = makeWorld();
    const grpo = trainerConfig(lively);
    const policy = await world.policy(grpo);
    policy.load(policyVersion(world.db, 0), 1);
    await collect(world.db, policy.learner, { tasks: 4, group: 8, seed: 0, version: 0, live: true });
    const without = await trainOnce(world, policy, grpo, 0);
    assert.match(without.error ?? '', /All 64 new steps were left out/);
    assert.deepEqual(new Set(listRoundSteps(world.db, without.id, { limit: 100 }).items.map((step) => step.leftOutReason)), new Set(['no_group']));

    const config = trainerConfig({ ...lively, algorithm: { name } });
    const { rewards, rounds } = await learn(world, config, 3, { live: true }, 'again');
    assert.equal(rounds[0]?.metrics?.['steps'], 128, 'those that grpo had no use for, too');
    assert.ok((rewards.at(-1) ?? NaN) > (rewards[0] ?? NaN) + 0.1, rewards.join(', '));
  });
}

await test('the value head learns what to expect, is published with the policy, and is gone on with', async () => {
  await using world = makeWorld();
  const config = trainerConfig({ optimizer: { learningRate: 0.005 }, algorithm: { name: 'ppo' }, epochs: 8 });
  // Every second task is always solved, the others never are.
  let rollouts = 0;
  const { rounds, policy } = await learn(world, config, 3, { reward: () => Math.floor(rollouts++ / 8) % 2 });
  const explained = rounds.map((round) => round.metrics?.['explainedVariance'] ?? NaN);
  assert.equal(explained[0], 0, 'it says 0 of everything at first');
  assert.ok((explained.at(-1) ?? NaN) > 0.5, explained.join(', '));
  const directory = join(world.db.dataDir, 'policies/3');
  assert.ok(existsSync(join(directory, 'value_head.safetensors')));

  const reopened = await world.policy(config);
  reopened.load(policyVersion(world.db, 3), 1);
  for (const [parameter, { data }] of policy.learner.parameters) assert.deepEqual(reopened.learner.parameters.get(parameter)?.data, data, parameter);
  assert.ok(reopened.learner.parameters.get('value_head.weight')?.data.some((weight) => weight !== 0));

  // A policy without a value head goes on from one that has it, and the other way round.
  const grpo = trainerConfig(lively);
  await collect(world.db, policy.learner, { tasks: 1, group: 4, seed: 9, version: 3, name: 'later' });
  assert.equal((await trainOnce(world, await world.policy(grpo), grpo, 3)).state, 'promoted');
  assert.ok(!existsSync(join(world.db.dataDir, 'policies/4/value_head.safetensors')));
  const again = await world.policy(config);
  again.load(policyVersion(world.db, 4), 1);
  assert.ok(again.learner.parameters.get('value_head.weight')?.data.every((weight) => weight === 0));
  assert.ok(again.optimizer.step > 0);
});

await test('with an importance correction the ratio is to the policy at the start, and the weight says how the sampler differed', async () => {
  for (const [correction, ratio, importance] of [[{}, Math.exp(0.02), undefined], [{ importance: {} }, 1, Math.exp(0.02)]] as const) {
    await using world = makeWorld();
    const config = trainerConfig({ ...lively, correction });
    const policy = await world.policy(config);
    policy.load(policyVersion(world.db, 0), 1);
    await collect(world.db, policy.learner, { tasks: 2, group: 8, seed: 0, version: 0, logprobError: -0.02 });
    const { metrics } = await trainOnce(world, policy, config, 0);
    assert.ok(Math.abs((metrics?.['ratioMean'] ?? NaN) - ratio) < 1e-4, `ratio ${metrics?.['ratioMean']}`);
    if (importance === undefined) assert.equal(metrics?.['importanceMean'], undefined);
    else assert.ok(Math.abs((metrics?.['importanceMean'] ?? NaN) - importance) < 1e-4, `importance ${metrics?.['importanceMean']}`);
  }
});

await test('a round whose every token is rejected is empty, and says why', async () => {
  await using world = makeWorld();
  const config = trainerConfig({ correction: { rejection: { min: 0.99, max: 1.01 } } });
  const policy = await world.policy(config);
  policy.load(policyVersion(world.db, 0), 1);
  await collect(world.db, policy.learner, { tasks: 2, group: 4, seed: 0, version: 0, logprobError: -0.04 });
  const round = await trainOnce(world, policy, config, 0);
  assert.equal(round.state, 'empty');
  assert.match(round.error ?? '', /No token that teaches something counts: trainer\.correction\.rejection/);
  assert.equal(currentVersion(world.db), 0);
});

await test('groups that are all the same are no reason to blame a correction', async () => {
  await using world = makeWorld();
  const config = trainerConfig({ algorithm: { name: 'dapo' } });
  const policy = await world.policy(config);
  policy.load(policyVersion(world.db, 0), 1);
  await collect(world.db, policy.learner, { tasks: 2, group: 4, seed: 0, version: 0, reward: () => 1 });
  assert.match((await trainOnce(world, policy, config, 0)).error ?? '', /In none of the 2 groups do the rollouts' returns differ/);
});

await test('calls that were cut off, and (DAPO) groups that are all the same, count nowhere', async () => {
  await using world = makeWorld();
  const config = trainerConfig({ algorithm: { name: 'dapo', dropTruncated: true } });
  const policy = await world.policy(config);
  policy.load(policyVersion(world.db, 0), 1);
  let rollouts = 0;
  // The first task's four rollouts all get the same; in the second task each second call was cut off.
  const reward = (): number => (rollouts++ < 4 ? 1 : rollouts % 2);
  await collect(world.db, policy.learner, { tasks: 2, group: 4, seed: 0, version: 0, reward, finishReason: (_, call) => (call === 1 ? 'length' : 'stop') });
  const round = await trainOnce(world, policy, config, 0);
  assert.equal(round.state, 'promoted');
  const weights = new Map(listRoundSteps(world.db, round.id, { limit: 100 }).items.map((step) => [step.stepId, step.weight ?? NaN]));
  for (const [stepId, weight] of weights) {
    const counts = /^st_0_1_\d_0$/.test(stepId);
    assert.ok(Math.abs(weight - (counts ? 1 / 4 : 0)) < 1e-12, `${stepId} weighs ${weight}`);
  }
});
