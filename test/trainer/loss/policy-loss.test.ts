/** Every part is compared with TRL, verl and PyTorch in test/golden/losses.ts. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readAdapter } from '../../../model/adapter.ts';
import { readSafetensors } from '../../../model/weights/safetensors.ts';
import { createEmbeddedLearner } from '../../../trainer/backends/embedded.ts';
import { mergeSteps, planMicroBatches } from '../../../trainer/batch.ts';
import type { Aggregation } from '../../../trainer/loss/aggregation.ts';
import { policyLoss } from '../../../trainer/loss/policy-loss.ts';
import type { PolicyTerm } from '../../../trainer/loss/policy-term.ts';
import type { PolicyLossSpec } from '../../../trainer/loss/spec.ts';
import { weighTokens } from '../../../trainer/loss/weigh-tokens.ts';
import { accumulate } from '../../../trainer/optimizer.ts';
import { openGolden } from '../../model/golden.ts';
import { runPolicyLoss, runValueLoss } from '../../golden/losses/run.ts';
import { assertClose, goldenPath } from '../golden.ts';

const clip: PolicyTerm = { type: 'clip', clipLow: 0.2, clipHigh: 0.2, ratio: { level: 'token', old: 'given' } };
const aggregation: Aggregation = { mode: 'token-mean' };

await test('parts that could have no effect are refused', () => {
  assert.throws(() => policyLoss({ policy: null, aggregation }), /at least one term/);
  assert.throws(() => policyLoss({ policy: null, aggregation, entropy: { coefficient: 1 }, offPolicyMask: 1 }), /act on the policy term/);
  assert.throws(() => policyLoss({ policy: null, aggregation, entropy: { coefficient: 1 }, importance: { level: 'token', mode: 'mask', max: 2 } }), /act on the policy term/);
  assert.throws(() => policyLoss({ policy: { type: 'reinforce' }, aggregation, kl: { estimator: 'k3', coefficient: 1, importanceCorrected: true } }), /takes the ratio/);
});

await test('a term with an aggregation of its own is weighed by its own input', async () => {
  const data = readSafetensors(goldenPath('losses/inputs.plain.safetensors'));
  const kl = { estimator: 'k3', coefficient: 0.04 } as const;
  const own: Aggregation = { mode: 'seq-mean-token-sum', sequences: 'nonempty' };
  const together = await runPolicyLoss({ policy: clip, aggregation, kl: { ...kl, aggregation: own } }, data);
  const policy = await runPolicyLoss({ policy: clip, aggregation }, data);
  const divergence = await runPolicyLoss({ policy: null, aggregation: own, kl }, data);
  assertClose([together.loss], [policy.loss + divergence.loss], { relative: 1e-6 }, 'loss');
  assertClose(together.gradient, policy.gradient.map((g, i) => g + (divergence.gradient[i] ?? NaN)), { relative: 1e-6 }, 'gradient');
  data.close();
});

await test('nothing leaks out of masked places of a value loss', async () => {
  const data = readSafetensors(goldenPath('losses/value.safetensors'));
  const mask = data.read('mask').data;
  const wild = { ...data, read: (name: string) => { const { shape, data: stored } = data.read(name); return { shape, data: name === 'mask' ? stored : stored.map((x, i) => (mask[i] === 1 ? x : NaN)) }; } };
  const spec: PolicyLossSpec = { policy: null, aggregation, value: { coefficient: 1, clip: 0.2 } };
  assert.deepEqual(await runValueLoss(spec, wild), await runValueLoss(spec, data));
  data.close();
});

await test('a sequence-level loss of a model is the same however its steps are batched', async () => {
  const golden = openGolden('llama-tied');
  const cacheDir = mkdtempSync(join(tmpdir(), 'sequence-loss-'));
  const spec: PolicyLossSpec = { policy: { type: 'clip', clipLow: 0.06, clipHigh: 0.08, ratio: { level: 'sequence', old: 'given' } }, aggregation: { mode: 'seq-mean-token-mean', sequences: 'nonempty' } };
  const learner = await createEmbeddedLearner({
    model: { config: golden.config, weights: golden.weights, fingerprint: 'llama-tied' }, trainable: { kind: 'adapter', adapter: readAdapter(join(golden.directory, 'lora'), golden.config) },
    loss: policyLoss(spec), threads: 1, cacheDir,
  });
  const ids = (length: number, seed: number): Int32Array => Int32Array.from({ length }, (_, i) => (i * 31 + seed * 17) % 97);
  // The second step continues the first, so two sequences lie in one row; another attempt has a third.
  const first = { id: 'a', attemptId: 'x', promptTokenIds: ids(4, 1), completionTokenIds: ids(5, 2), temperature: 1 };
  const second = { id: 'b', attemptId: 'x', promptTokenIds: Int32Array.of(...first.promptTokenIds, ...first.completionTokenIds, 3), completionTokenIds: ids(3, 4), temperature: 1 };
  const third = { id: 'c', attemptId: 'y', promptTokenIds: ids(6, 5), completionTokenIds: ids(7, 6), temperature: 1 };
  const steps = [first, second, third];
  const [plan = assert.fail()] = planMicroBatches(mergeSteps(steps), 1024, {});
  const { logprobs } = await learner.forward(plan.batch);
  const logprobOf = (step: number, token: number): number => logprobs.find((_, m) => plan.stepOfEntry[m] === step && plan.tokenOfEntry[m] === token) ?? NaN;
  const weights = weighTokens(spec, steps.map(({ id, completionTokenIds }) => ({ rolloutId: id, tokens: completionTokenIds.length, truncated: false })));
  const inputs = {
    advantage: (step: number) => [1, -1, 0.5][step] ?? NaN, trained: () => 1, weight: (step: number, token: number) => weights[step]?.weight[token] ?? NaN,
    oldLogprob: (step: number, token: number) => logprobOf(step, token) + 0.02 * step - 0.01 * token, // near enough to be within the clip
  };
  const run = async (maxTokens: number, merged: boolean): Promise<{ loss: number; gradients: Map<string, Float32Array> }> => {
    const rows = merged ? mergeSteps(steps) : mergeSteps(steps.map((step) => ({ ...step, attemptId: step.id })));
    const gradients = new Map<string, Float32Array>();
    let loss = 0;
    for (const { batch } of planMicroBatches(rows, maxTokens, inputs)) {
      const result = await learner.forwardBackward(batch);
      loss += result.loss;
      accumulate(gradients, result.gradients);
    }
    return { loss, gradients };
  };
  const merged = await run(1024, true);
  for (const [name, gradient] of merged.gradients) assert.ok(gradient.some((g) => g !== 0), name);
  for (const other of [await run(1024, false), await run(1, false)]) {
    assertClose([other.loss], [merged.loss], { absolute: 1e-6 }, 'loss');
    for (const [name, gradient] of merged.gradients) assertClose(other.gradients.get(name) ?? [], gradient, { relative: 2e-5, absolute: 1e-8 }, name);
  }
  await learner.close();
  rmSync(cacheDir, { recursive: true });
});
