import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { createAdapter } from '../../model/adapter.ts';
import { createEmbeddedLearner } from '../../trainer/backends/embedded.ts';
import { mergeSteps, type PlannedMicroBatch, planMicroBatches } from '../../trainer/batch.ts';
import { TrainerError } from '../../trainer/error.ts';
import { requireFinite, requireFiniteParameters, requireFiniteRecords } from '../../trainer/finite.ts';
import { supervisedLoss } from '../../trainer/loss/supervised.ts';
import { seededRandom } from '../../trainer/random.ts';
import { openGolden } from '../model/golden.ts';

const golden = openGolden('llama-tied');
const cacheDir = mkdtempSync(join(tmpdir(), 'fulgurite-finite-'));
const adapter = createAdapter(golden.config, { rank: 2, alpha: 4, rsLora: false, targets: ['q_proj', 'down_proj'] }, seededRandom(1));
const learner = await createEmbeddedLearner({ model: { config: golden.config, weights: golden.weights, fingerprint: 'tiny' }, trainable: { kind: 'adapter', adapter }, loss: supervisedLoss, threads: 1, cacheDir });

/** Nine steps in rows of two: the second of each row continues the first. */
const steps = Array.from({ length: 9 }, (_, i) => ({
  id: `st_${i}`, attemptId: `at_${Math.floor(i / 2)}`, promptTokenIds: Int32Array.of(1, ...(i % 2 === 0 ? [] : [i - 1, 2, 9])), completionTokenIds: Int32Array.of(i, 2),
  behaviourLogprobs: Float32Array.of(-1, -1), temperature: 1,
}));

function plan(weight: (step: number) => number): PlannedMicroBatch {
  const [planned, ...more] = planMicroBatches(mergeSteps(steps), 4096, { weight });
  assert.ok(planned && more.length === 0);
  return planned;
}

async function refusal(planned: PlannedMicroBatch): Promise<TrainerError | null> {
  const thrown: unknown = await requireFinite(learner, planned, steps, await learner.forwardBackward(planned.batch)).then(() => null, (error: unknown) => error);
  assert.ok(thrown === null || (thrown instanceof TrainerError && thrown.code === 'not_finite'), String(thrown));
  return thrown;
}

describe('requireFinite', () => {
  after(async () => {
    await learner.close();
    golden.weights.close();
    golden.results.close();
    rmSync(cacheDir, { recursive: true, force: true });
  });

  it('finite numbers pass', async () => {
    assert.equal(await refusal(plan(() => 0.1)), null);
  });

  it('the step whose gradient is not finite is found among those computed together', async () => {
    for (const culprit of [0, 3, 8]) {
      const error = await refusal(plan((step) => (step === culprit ? NaN : 0.1)));
      assert.match(error?.message ?? '', new RegExp(`^The gradient of base_model\\S+ is not finite on step st_${culprit}, so nothing was published`));
      }
  });

  it('where no step alone is the cause, all are named', async () => {
    const together = await refusal(plan(() => 2e37));
    assert.match(together?.message ?? '', /on steps st_0, st_1, st_2, st_3 and 5 more together/);
  });

  it('a recorded log-prob that is not finite is its step\'s fault for good', () => {
    requireFiniteRecords(steps);
    const broken = steps.map((step, i) => (i === 5 ? { ...step, behaviourLogprobs: Float32Array.of(-1, NaN) } : step));
    assert.throws(() => { requireFiniteRecords(broken); }, (error) => error instanceof TrainerError && error.stepId === 'st_5' && error.message.startsWith('Step st_5 has a recorded log-prob'));
  });

  it('parameters that an update made infinite are not published', () => {
    requireFiniteParameters(learner.parameters);
    assert.throws(() => { requireFiniteParameters(new Map([['a', { shape: [2], data: Float32Array.of(1, Infinity) }]])); }, /^TrainerError: After the update a is not finite/);
  });
});
