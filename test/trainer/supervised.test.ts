import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createEmbeddedLearner } from '../../trainer/backends/embedded.ts';
import type { Learner } from '../../trainer/learner.ts';
import { supervisedLoss } from '../../trainer/loss/supervised.ts';
import { type SupervisedOptions, trainSupervised } from '../../trainer/supervised.ts';
import { openGolden } from '../model/golden.ts';
import { distribution } from './world.ts';

async function withLearner<T>(work: (learner: Learner) => Promise<T>): Promise<T> {
  const cacheDir = mkdtempSync(join(tmpdir(), 'fulgurite-supervised-'));
  const { config, weights, results } = openGolden('llama-tied');
  const learner = await createEmbeddedLearner({ model: { config, weights, fingerprint: 'tiny' }, trainable: { kind: 'full' }, loss: supervisedLoss, threads: 1, cacheDir });
  try {
    return await work(learner);
  } finally {
    await learner.close();
    weights.close();
    results.close();
    rmSync(cacheDir, { recursive: true, force: true });
  }
}

const examples = [
  { tokenIds: Int32Array.of(1, 10, 20, 30, 40), lossMask: [0, 0, 1, 1, 1] },
  { tokenIds: Int32Array.of(1, 11, 21, 5, 31), lossMask: [0, 0, 1, 0, 1] },
  { tokenIds: Int32Array.of(2, 12, 22), lossMask: [0, 0, 1] },
];
const options = (learner: Learner): SupervisedOptions => ({
  learner, examples, steps: 40, batchSize: 2, tokensPerMicroBatch: 16, optimizer: { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0 }, maxGradNorm: 1, learningRate: 0.01, warmupSteps: 4, seed: 3,
});

await test('a small model learns its examples by heart, and only the masked tokens', async () => {
  await withLearner(async (learner) => {
    const losses: number[] = [];
    const last = await trainSupervised({ ...options(learner), onProgress: ({ loss }) => { losses.push(loss); } });
    assert.equal(losses.length, 40);
    assert.ok((losses[0] ?? 0) > 3 && last.loss < 0.1, `loss ${losses[0]} → ${last.loss}`);
    const probabilities = async (context: number[]) => (await distribution(learner, context)).map((logprob) => Math.exp(logprob));
    assert.ok(((await probabilities([1, 10]))[20] ?? 0) > 0.8);
    assert.ok(((await probabilities([1, 11, 21, 5]))[31] ?? 0) > 0.8);
    assert.ok(((await probabilities([1, 11, 21]))[5] ?? 1) < 0.5, 'token 5 was masked');
  });
});

await test('the same seed gives the same parameters', async () => {
  const train = () => withLearner(async (learner) => {
    await trainSupervised({ ...options(learner), steps: 5 });
    return [...learner.parameters.values()].map(({ data }) => data.slice());
  });
  assert.deepEqual(await train(), await train());
});

await test('an example with nothing to learn is refused', async () => {
  await withLearner((learner) => assert.rejects(trainSupervised({ ...options(learner), examples: [{ tokenIds: Int32Array.of(1, 2), lossMask: [1, 0] }] }), /example 0/));
});
