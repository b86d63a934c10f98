/** Numbers are compared with PyTorch's, for every architecture, in test/golden/models.ts and optim.ts. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { readAdapter } from '../../../model/adapter.ts';
import type { Weights } from '../../../model/model.ts';
import { createEmbeddedLearner, type EmbeddedLearnerOptions } from '../../../trainer/backends/embedded.ts';
import { mergeSteps, planMicroBatches } from '../../../trainer/batch.ts';
import type { LossFn } from '../../../trainer/learner.ts';
import { accumulate } from '../../../trainer/optimizer.ts';
import { assertClose, maxAbs, openGolden, type Golden } from '../../model/golden.ts';
import { goldenBatch, weightedNll } from './golden-batch.ts';

const cacheDir = mkdtempSync(join(tmpdir(), 'learner-'));
after(() => rmSync(cacheDir, { recursive: true }));

const optionsFor = (golden: Golden, trainable: EmbeddedLearnerOptions['trainable'], loss: LossFn = weightedNll): EmbeddedLearnerOptions => ({
  model: { config: golden.config, weights: golden.weights, fingerprint: golden.directory.replaceAll('/', '_') }, trainable, loss, threads: 1, cacheDir,
});

describe('the learner', () => {
  const golden = openGolden('llama-tied');
  const open = (loss: LossFn = weightedNll) => createEmbeddedLearner(optionsFor(golden, { kind: 'adapter', adapter: readAdapter(join(golden.directory, 'lora'), golden.config) }, loss));

  test('gives the same bytes for the same batch', async () => {
    const learner = await open();
    const { batch } = goldenBatch(golden, 1);
    const once = await learner.forwardBackward(batch);
    assert.deepEqual(await learner.forwardBackward(batch), once);
    await learner.close();
  });

  test('gives the same bytes when it computes the forward pass again', async () => {
    const { batch } = goldenBatch(golden, 1);
    for (const trainable of [{ kind: 'adapter', adapter: readAdapter(join(golden.directory, 'lora'), golden.config) }, { kind: 'full', start: golden.weights }] as const) {
      const [kept, again] = await Promise.all((['never', 'always'] as const).map(async (recompute) => {
        const learner = await createEmbeddedLearner({ ...optionsFor(golden, trainable), memory: { recompute } });
        const result = await learner.forwardBackward(batch);
        await learner.close();
        return result;
      }));
      assert.deepEqual(again, kept);
    }
  });

  for (const name of ['llama-tied', 'gemma3-text']) {
    test(`computes what follows a shared beginning as if each stood alone: ${name}`, async () => {
      const model = openGolden(name);
      const learner = await createEmbeddedLearner(optionsFor(model, { kind: 'full', start: model.weights }));
      const numbers = (length: number, seed: number): number[] => Array.from({ length }, (_, i) => (7 * i * seed + 3 * seed + i * i) % 90);
      // Longer than Gemma's window, and with a fork in a completion.
      const [prompt, reply] = [numbers(20, 1), numbers(5, 2)];
      const steps = [[...reply, ...numbers(3, 3)], [...reply, ...numbers(2, 5)], numbers(4, 7)]
        .map((completion, i) => ({ id: String(i), attemptId: String(i), promptTokenIds: Int32Array.from(prompt), completionTokenIds: Int32Array.from(completion), temperature: 1 }));
      const inputs = { weight: (step: number, token: number) => (step + 1) / (token + 2) };
      const [together, ...more] = planMicroBatches(mergeSteps(steps), 1024, inputs);
      assert.ok(together && more.length === 0 && together.batch.batch === 1);
      const tree = await learner.forwardBackward(together.batch);
      const sums = new Map<string, Float32Array>();
      for (const [i, step] of steps.entries()) {
        const [alone = assert.fail()] = planMicroBatches(mergeSteps([step]), 1024, { weight: (_, token) => inputs.weight(i, token) });
        const { branches: _, ...plain } = alone.batch;
        const result = await learner.forwardBackward(plain);
        assertClose(tree.logprobs.filter((_, m) => together.stepOfEntry[m] === i), result.logprobs, 1e-5, `log-probs of step ${i}`);
        accumulate(sums, result.gradients);
      }
      for (const [parameter, gradient] of tree.gradients) assertClose(gradient, sums.get(parameter) ?? [], 2e-5 * maxAbs(gradient), parameter);
      await learner.close();
    });
  }

  test('refuses a batch that would not fit, before it computes anything', async () => {
    const learner = await createEmbeddedLearner({ ...optionsFor(golden, { kind: 'full' }), memory: { recompute: 'auto', maxMemoryMb: 1 } });
    await assert.rejects(learner.plan([goldenBatch(golden, 1).batch]), { code: 'not_enough_memory' });
    await assert.rejects(learner.forwardBackward(goldenBatch(golden, 1).batch), { code: 'not_enough_memory' });
    await learner.close();
  });

  test('says which input of the loss is missing', async () => {
    const learner = await open();
    await assert.rejects(learner.forwardBackward({ ...goldenBatch(golden, 1).batch, perToken: {} }), /per-token input "weight"/);
    await learner.close();
  });

  test('takes batches of any shape, and a row alone is the same as in a batch', async () => {
    const learner = await open();
    const { batch } = goldenBatch(golden, 1);
    const whole = await learner.forward(batch);
    const time = 7;
    const alone = await learner.forward({
      batch: 1, time, tokenIds: batch.tokenIds.slice(batch.time, batch.time + time), positions: Int32Array.of(0, 5), targets: Int32Array.of(batch.tokenIds[batch.time + 1] ?? 0, batch.tokenIds[batch.time + 6] ?? 0),
      temperature: Float32Array.of(1, 1), perToken: {},
    });
    const entries = [0, 5].map((t) => batch.positions.indexOf(batch.time + t));
    assertClose(alone.logprobs, entries.map((m) => whole.logprobs[m] ?? Number.NaN), 1e-5, 'log-probs');
    await learner.close();
  });

  test('padding rows and padding entries change nothing', async () => {
    const learner = await open();
    const { batch } = goldenBatch(golden, 1);
    const plain = await learner.forwardBackward(batch);
    const more = 5;
    const padded = await learner.forwardBackward({
      ...batch,
      batch: batch.batch + 1,
      tokenIds: Int32Array.from([...batch.tokenIds, ...new Int32Array(batch.time)]),
      positions: Int32Array.from([...batch.positions, ...new Int32Array(more)]),
      targets: Int32Array.from([...batch.targets, ...new Int32Array(more)]),
      temperature: Float32Array.from([...batch.temperature, ...new Float32Array(more).fill(1)]),
      perToken: { weight: Float32Array.from([...(batch.perToken['weight'] ?? []), ...new Float32Array(more)]) },
    });
    assert.ok(Math.abs(padded.loss - plain.loss) < 1e-6);
    for (const [name, gradient] of plain.gradients) assertClose(padded.gradients.get(name) ?? [], gradient, 1e-6 * Math.max(1, maxAbs(gradient)), name);
    await learner.close();
  });

  test('a whole model can be loaded from other weights than the base', async () => {
    const halved: Weights = { ...golden.weights, read: (name) => { const { shape, data } = golden.weights.read(name); return { shape, data: data.map((x) => x / 2) }; } };
    const learner = await createEmbeddedLearner(optionsFor(golden, { kind: 'full', start: halved }));
    assert.deepEqual(learner.parameters.get('model.norm.weight')?.data, golden.weights.read('model.norm.weight').data.map((x) => x / 2));
    await learner.close();
  });
});
