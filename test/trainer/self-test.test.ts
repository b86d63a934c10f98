import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PlannedMicroBatch } from '../../trainer/batch.ts';
import { TrainerError } from '../../trainer/error.ts';
import type { TrainingStep } from '../../trainer/experience.ts';
import { comparableSteps, compareLogprobs, LogprobComparison, requireAgreement } from '../../trainer/self-test.ts';
import { assertClose } from './golden.ts';

await test('a mismatch by hand', () => {
  const { tokens, meanAbsolute, maxAbsolute, kl, correlation } = compareLogprobs([-1, -2, -3], [-1.1, -2, -2.7]);
  assert.equal(tokens, 3);
  const k3 = (Math.exp(-0.1) - 1 + 0.1 + (Math.exp(0.3) - 1 - 0.3)) / 3;
  assertClose([meanAbsolute, maxAbsolute, kl], [0.4 / 3, 0.3, k3], { absolute: 1e-12 }, 'mismatch');
  assertClose([correlation], [1.6 / Math.sqrt(2 * 1.2866666666666666)], { absolute: 1e-9 }, 'correlation');
});

await test('equal log-probs agree; one that is not a number does not', () => {
  assert.deepEqual(compareLogprobs([-1, -1], [-1, -1]), { tokens: 2, meanAbsolute: 0, maxAbsolute: 0, kl: 0, correlation: 1 });
  const broken = compareLogprobs([-1, -2, -3], [-1, NaN, -3]);
  assert.ok(Number.isNaN(broken.maxAbsolute));
  assert.throws(() => { requireAgreement(broken, 3, 0.05); }, (error) => error instanceof TrainerError && error.code === 'logprob_mismatch');
  requireAgreement(compareLogprobs([-1], [-1.01]), 3, 0.05);
});

await test('a refusal says how far off they are, in four ways, and what to look at', () => {
  const refusal = /differ from the recorded ones by 0\.200 nats a token on average \(largest 0\.300, KL 0\.0\d+, correlation 0\.9\d+, over 3 tokens of version 7\), more than trainer\.maxLogprobMismatch \(0\.05\): check that .*backend\.model/;
  assert.throws(() => { requireAgreement(compareLogprobs([-1, -2, -3], [-1.1, -2.2, -2.7]), 7, 0.05); }, refusal);
});

await test('only the steps asked for are compared, whatever the micro-batch holds besides', () => {
  const steps = [{ id: 'a', behaviourLogprobs: Float32Array.of(-1, -2) }, { id: 'b', behaviourLogprobs: Float32Array.of(-3) }];
  const plan = { stepOfEntry: Int32Array.of(1, 0, 0), tokenOfEntry: Int32Array.of(0, 0, 1) } as unknown as PlannedMicroBatch; // only these two are looked at
  const comparison = new LogprobComparison();
  assert.equal(comparison.mismatch(), null);
  comparison.add(plan, steps, Float32Array.of(-9, -1, -2.5), (step) => step.id === 'a');
  assertClose([comparison.mismatch()?.meanAbsolute ?? NaN], [0.25], { absolute: 1e-12 }, 'mean');
  comparison.add(plan, steps, Float32Array.of(-3, -1, -2));
  assert.equal(comparison.mismatch()?.tokens, 5);
});

await test('only steps that one version sampled are compared, spread over all of them', () => {
  const step = (id: string, ...versions: number[]) => ({ id, versionSpans: versions.map((version) => ({ version, from: 0, to: 1 })) }) as unknown as TrainingStep; // only these two are looked at
  const steps = [step('a', 1), step('b', 2), step('c', 1, 2), ...Array.from({ length: 8 }, (_, i) => step(`d${i}`, 2))];
  assert.deepEqual(comparableSteps(steps, 2, 3).map(({ id }) => id), ['b', 'd2', 'd5']);
  assert.deepEqual(comparableSteps(steps, 2, 100).length, 9);
  assert.deepEqual(comparableSteps(steps, 7, 3), []);
});
