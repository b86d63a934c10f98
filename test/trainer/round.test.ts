import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { currentVersion, findPolicy } from '../../store/policies.ts';
import { listRoundSteps } from '../../store/round-steps.ts';
import { findRound } from '../../store/rounds.ts';
import { TrainerError } from '../../trainer/error.ts';
import { policyVersion, type TrainingPolicy } from '../../trainer/policy.ts';
import { collect, distribution, makeWorld, trainerConfig, trainOnce, type World } from './world.ts';
import { maxAbsDifference } from '../model/golden.ts';

const sha256 = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');
const lively = { optimizer: { learningRate: 0.03 } };

await test('a policy gets better: rounds follow each other, each one recorded, published and promoted', async () => {
  await using world = makeWorld();
  const { db } = world;
  const config = trainerConfig(lively);
  const policy = await world.policy(config);
  policy.load(policyVersion(db, 0), 1);
  const rewards: number[] = [];
  for (let version = 0; version < 7; version++) {
    rewards.push(await collect(db, policy.learner, { tasks: 4, group: 8, seed: version, version }));
    const round = await trainOnce(world, policy, config, version);
    assert.equal(round.state, 'promoted');
    assert.equal(round.resultVersion, version + 1);
    assert.equal(currentVersion(db), version + 1);
    assert.equal(round.metrics?.['steps'], 64);
    assert.equal(round.metrics['tokens'], 128);
    assert.ok(Math.abs((round.metrics['rewardMean'] ?? NaN) - (rewards.at(-1) ?? NaN)) < 1e-9);
    assert.ok((round.metrics['selfTestMax'] ?? NaN) < 1e-4, 'log-probs are recomputed as they were recorded');
    assert.equal('secondsSelfTest' in round.metrics, version === 0, 'beforehand once; then the first pass shows it');
    assert.ok(Math.abs((round.metrics['ratioMean'] ?? NaN) - 1) < 1e-4, 'the first pass is on policy');
    assert.ok((round.metrics['policyKl'] ?? NaN) > 1e-6, 'the update moved the policy');
    for (const [name, value] of Object.entries(round.metrics)) assert.ok(Number.isFinite(value), name);
    assert.ok(existsSync(join(db.dataDir, findPolicy(db, version + 1)?.directory ?? '', 'adapter_model.safetensors')));
  }
  const used = listRoundSteps(db, 1, { limit: 1000 }).items;
  assert.equal(used.length, 64);
  assert.ok(Math.abs(used.reduce((sum, step) => sum + (step.weight ?? NaN), 0) - 1) < 1e-9, 'the weights share out one loss');
  const [first = NaN, last = NaN] = [rewards[0], rewards.at(-1)];
  assert.ok(first < 0.6 && last > 0.9, `rewards by round: ${rewards.join(', ')}`);
});

await test('same rows, same seed: the same bytes; and a restarted trainer goes on as a warm one', async () => {
  const runs: string[][] = [];
  for (const restart of [false, true]) {
    await using world = makeWorld();
    const config = trainerConfig({ ...lively, minibatches: 2, epochs: 2, optimizer: { learningRate: 0.01, weightDecay: 0.1 } });
    let policy = await world.policy(config);
    for (let version = 0; version < 2; version++) {
      policy.load(policyVersion(world.db, version), 1);
      await collect(world.db, policy.learner, { tasks: 2, group: 4, seed: version, version });
      await trainOnce(world, policy, config, version);
      if (restart) policy = await world.policy(config);
    }
    runs.push(['adapter_model.safetensors', 'optimizer.safetensors'].flatMap((name) => [1, 2].map((version) => sha256(join(world.db.dataDir, 'policies', String(version), name)))));
  }
  assert.deepEqual(runs[0], runs[1]);
  assert.notDeepEqual(runs[0]?.[0], runs[0]?.[1]);
});

await test('going back to the base model forgets what the optimizer knew', async () => {
  await using world = makeWorld();
  const policy = await world.policy(trainerConfig());
  policy.load(policyVersion(world.db, 0), 1);
  await collect(world.db, policy.learner, { tasks: 1, group: 4, seed: 0, version: 0 });
  await trainOnce(world, policy, trainerConfig(), 0);
  assert.equal(policy.optimizer.step, 1);
  const trained = await distribution(policy.learner, [1, 2, 3]);
  policy.load(policyVersion(world.db, 0), 1);
  assert.equal(policy.optimizer.step, 0);
  assert.ok([...policy.optimizer.state().moments.values()].every(({ data }) => data.every((moment) => moment === 0)));
  policy.load(policyVersion(world.db, 1), 1);
  assert.equal(policy.optimizer.step, 1);
  assert.ok(maxAbsDifference(await distribution(policy.learner, [1, 2, 3]), trained) === 0);
});

await test('another seed draws another adapter', async () => {
  const drawn: string[] = [];
  for (const seed of [1, 2]) {
    await using world = makeWorld();
    const policy = await world.policy(trainerConfig());
    policy.load(policyVersion(world.db, 0), seed);
    await collect(world.db, policy.learner, { tasks: 1, group: 4, seed: 0, version: 0 });
    await trainOnce(world, policy, trainerConfig(), 0, seed);
    drawn.push(sha256(join(world.db.dataDir, 'policies/1/adapter_model.safetensors')));
  }
  assert.notDeepEqual(drawn[0], drawn[1]);
});

await test('a round that nothing can be learned from ends empty, with the reason', async () => {
  await using world = makeWorld();
  const config = trainerConfig();
  const policy = await world.policy(config);
  policy.load(policyVersion(world.db, 0), 1);
  const without = await trainOnce(world, policy, config, 0);
  assert.equal(without.state, 'empty');
  assert.match(without.error ?? '', /no new steps/);
  await collect(world.db, policy.learner, { tasks: 2, group: 3, seed: 0, version: 0, reward: () => 0.7 });
  const equal = await trainOnce(world, policy, config, 0);
  assert.equal(equal.state, 'empty');
  assert.match(equal.error ?? '', /none of the 2 groups .*\(mean 0\.700\)/);
  assert.equal(currentVersion(world.db), 0);
  assert.ok(!existsSync(join(world.db.dataDir, 'policies')));
  assert.equal(listRoundSteps(world.db, equal.id, { used: true }).items.length, 12);
});

await test('steps that a published round used are not used again', async () => {
  await using world = makeWorld();
  const config = trainerConfig();
  const policy = await world.policy(config);
  policy.load(policyVersion(world.db, 0), 1);
  await collect(world.db, policy.learner, { tasks: 1, group: 4, seed: 0, version: 0 });
  assert.equal((await trainOnce(world, policy, config, 0, 1, false)).state, 'published');
  assert.equal(currentVersion(world.db), 0, 'published, not promoted');
  assert.equal((await trainOnce(world, policy, config, 0)).state, 'empty');
});

async function refused(world: World, policy: TrainingPolicy, logprobError: number, baseVersion: number): Promise<TrainerError> {
  await collect(world.db, policy.learner, { tasks: 1, group: 4, seed: 0, version: 0, name: 'wrong', logprobError });
  const error: unknown = await trainOnce(world, policy, trainerConfig(), baseVersion).then(() => null, (thrown: unknown) => thrown);
  assert.ok(error instanceof TrainerError, String(error));
  assert.equal(findRound(world.db, baseVersion + 1)?.state, 'running', 'the caller ends it');
  assert.ok(!existsSync(join(world.db.dataDir, 'policies', String(baseVersion + 1))), 'nothing is published');
  return error;
}

await test('recorded log-probs that the trainer cannot reproduce are refused', async () => {
  await using world = makeWorld();
  const policy = await world.policy(trainerConfig());
  policy.load(policyVersion(world.db, 0), 1);
  const error = await refused(world, policy, 0.2, 0);
  assert.equal(error.code, 'logprob_mismatch');
  assert.match(error.message, /0\.200 nats a token on average .* version 0/);
});

await test('a disagreement that begins later is refused before the first update', async () => {
  await using world = makeWorld();
  const policy = await world.policy(trainerConfig());
  policy.load(policyVersion(world.db, 0), 1);
  await collect(world.db, policy.learner, { tasks: 1, group: 4, seed: 0, version: 0 });
  await trainOnce(world, policy, trainerConfig(), 0);
  await collect(world.db, policy.learner, { tasks: 1, group: 4, seed: 1, version: 1, logprobError: -0.3 });
  await assert.rejects(trainOnce(world, policy, trainerConfig(), 1), (error) => error instanceof TrainerError && error.code === 'logprob_mismatch' && /0\.300 nats .* of version 1\)/.test(error.message));
  assert.ok(!existsSync(join(world.db.dataDir, 'policies/2')));
  assert.equal(policy.optimizer.step, 1, 'nothing was learned from it');
});

await test('a number that is not finite ends the round and names the step', async () => {
  await using world = makeWorld();
  const policy = await world.policy(trainerConfig());
  policy.load(policyVersion(world.db, 0), 1);
  await collect(world.db, policy.learner, { tasks: 1, group: 4, seed: 0, version: 0 });
  await trainOnce(world, policy, trainerConfig(), 0);
  // Sampled by version 0 while training starts from version 1: there is nothing to compare them with.
  const error = await refused(world, policy, NaN, 1);
  assert.equal(error.code, 'not_finite');
  assert.match(error.message, /st_wrong_0_\d_\d/);
});

await test('the KL term holds on to the base model', async () => {
  await using world = makeWorld();
  const measure = async (klCoefficient: number): Promise<number> => {
    await using own = makeWorld();
    const config = trainerConfig({ algorithm: { klCoefficient }, ...lively, epochs: 8 });
    const policy = await own.policy(config);
    policy.load(policyVersion(own.db, 0), 1);
    await collect(own.db, policy.learner, { tasks: 2, group: 4, seed: 0, version: 0 });
    return (await trainOnce(own, policy, config, 0)).metrics?.['policyKl'] ?? NaN;
  };
  const [free, held] = [await measure(0), await measure(5)];
  assert.ok(held < free / 2, `KL ${held} with the term, ${free} without`);

  // After training, `withReference` is the base model, and afterwards the policy is itself again.
  const config = trainerConfig({ algorithm: { klCoefficient: 0.1 }, ...lively });
  const policy = await world.policy(config);
  policy.load(policyVersion(world.db, 0), 1);
  const base = await distribution(policy.learner, [1, 2, 3]);
  await collect(world.db, policy.learner, { tasks: 1, group: 8, seed: 0, version: 0 });
  await trainOnce(world, policy, config, 0);
  const trained = await distribution(policy.learner, [1, 2, 3]);
  assert.ok(maxAbsDifference(trained, base) > 1e-3);
  assert.deepEqual(await policy.withReference(() => distribution(policy.learner, [1, 2, 3])), base);
  assert.deepEqual(await distribution(policy.learner, [1, 2, 3]), trained);
});

await test('the entropy bonus keeps the policy broad', async () => {
  const entropyAfter = async (entropyCoefficient: number): Promise<number> => {
    await using world = makeWorld();
    const config = trainerConfig({ algorithm: { entropyCoefficient }, ...lively, epochs: 4 });
    const policy = await world.policy(config);
    policy.load(policyVersion(world.db, 0), 1);
    await collect(world.db, policy.learner, { tasks: 2, group: 4, seed: 0, version: 0 });
    return (await trainOnce(world, policy, config, 0)).metrics?.['entropy'] ?? NaN;
  };
  assert.ok(await entropyAfter(1) > await entropyAfter(0) + 0.01);
});

await test('full parameters: the published directory is a Hugging Face model that training goes on from', async () => {
  await using world = makeWorld();
  const config = trainerConfig({ method: 'full', optimizer: { learningRate: 0.005 } });
  const policy = await world.policy(config);
  policy.load(policyVersion(world.db, 0), 1);
  await collect(world.db, policy.learner, { tasks: 2, group: 4, seed: 0, version: 0 });
  assert.equal((await trainOnce(world, policy, config, 0)).state, 'promoted');
  const directory = join(world.db.dataDir, 'policies/1');
  for (const name of ['config.json', 'model.safetensors', 'optimizer.safetensors', 'policy.json']) assert.ok(existsSync(join(directory, name)), name);
  // Servers read every .safetensors file that no index rules out, the optimizer's too.
  const index = JSON.parse(readFileSync(join(directory, 'model.safetensors.index.json'), 'utf8')) as { weight_map: Record<string, string> };
  assert.deepEqual(index.weight_map, Object.fromEntries([...policy.learner.parameters.keys()].map((name) => [name, 'model.safetensors'])));
  const after = await distribution(policy.learner, [1, 2, 3]);
  const reopened = await world.policy(config);
  reopened.load(policyVersion(world.db, 1), 1);
  assert.deepEqual(await distribution(reopened.learner, [1, 2, 3]), after);
  assert.equal(reopened.optimizer.step, 1);
});

await test('a base version of another method or LoRA shape is refused by name', async () => {
  await using world = makeWorld();
  const policy = await world.policy(trainerConfig());
  policy.load(policyVersion(world.db, 0), 1);
  await collect(world.db, policy.learner, { tasks: 1, group: 4, seed: 0, version: 0 });
  await trainOnce(world, policy, trainerConfig(), 0);
  const other = await world.policy(trainerConfig({ lora: { rank: 2, alpha: 8 } }));
  assert.throws(() => { other.load(policyVersion(world.db, 1), 1); }, /Version 1 has rank 4, .* trainer\.lora asks for rank 2/);
  const full = await world.policy(trainerConfig({ method: 'full' }));
  assert.throws(() => { full.load(policyVersion(world.db, 1), 1); }, /Version 1 is an adapter and trainer\.method is full/);
});
