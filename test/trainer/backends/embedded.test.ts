import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, describe, test } from 'node:test';
import { readAdapter } from '../../../model/adapter.ts';
import type { Weights } from '../../../model/model.ts';
import { readSafetensors } from '../../../model/weights/safetensors.ts';
import { createEmbeddedLearner, type EmbeddedLearnerOptions } from '../../../trainer/backends/embedded.ts';
import { AdamW, clipByGlobalNorm } from '../../../trainer/optimizer.ts';
import type { LossFn } from '../../../trainer/learner.ts';
import { assertClose, maxAbs, openGolden, type Golden } from '../../model/golden.ts';
import { goldenBatch, weightedNll } from './golden-batch.ts';

const cacheDir = mkdtempSync(join(tmpdir(), 'learner-'));
after(() => rmSync(cacheDir, { recursive: true }));

const optionsFor = (golden: Golden, trainable: EmbeddedLearnerOptions['trainable'], loss: LossFn = weightedNll): EmbeddedLearnerOptions => ({
  model: { config: golden.config, weights: golden.weights, fingerprint: golden.directory.replaceAll('/', '_') }, trainable, loss, threads: 1, cacheDir,
});

async function checkBlock(golden: Golden, block: string, trainable: EmbeddedLearnerOptions['trainable']): Promise<void> {
  const tolerance = block === 'base' ? 5e-5 : 1e-4;
  const learner = await createEmbeddedLearner(optionsFor(golden, trainable));
  const { batch, at } = goldenBatch(golden, 1);
  const expected = (name: string): Float32Array => { const all = golden.results.read(`${block}/${name}`).data; return Float32Array.from(at, (i) => all[i] ?? Number.NaN); };
  const result = await learner.forwardBackward(batch);
  assertClose(result.logprobs.subarray(0, at.length), expected('logprobs'), tolerance, 'logprobs');
  assertClose(result.entropy.subarray(0, at.length), expected('entropy'), tolerance, 'entropy');
  assert.ok(Math.abs(result.loss - golden.lossOf(block)) < 1e-5, `loss ${result.loss} for ${golden.lossOf(block)}`);
  const stored = golden.results.names().filter((name) => name.startsWith(`${block}/grad.`)).map((name) => name.slice(`${block}/grad.`.length));
  assert.deepEqual([...result.gradients.keys()].sort(), stored.sort());
  for (const [name, gradient] of result.gradients) {
    const want = golden.results.read(`${block}/grad.${name}`).data;
    assertClose(gradient, want, 5e-5 * maxAbs(want), `gradient of ${name}`);
  }

  const tempered = await learner.forward(goldenBatch(golden, golden.temperature).batch);
  assertClose(tempered.logprobs.subarray(0, at.length), expected('logprobs_temp'), tolerance, 'logprobs at temperature');

  const again = await learner.forwardBackward(batch);
  assert.deepEqual(again.gradients, result.gradients, 'the same bytes again');
  assert.equal(again.loss, result.loss);
  await learner.close();
}

for (const name of ['llama-tied', 'llama-untied-llama3rope', 'qwen2', 'qwen3', 'gemma3-text']) {
  for (const layout of ['config.json', 'config.v4.json'] as const) {
    describe(`${name} with ${layout} computes what PyTorch computes`, () => {
      const golden = openGolden(name, layout);
      test('all parameters', () => checkBlock(golden, 'base', { kind: 'full', start: golden.weights }));
      const adapters = golden.results.has('lora_rs/logits') ? ['lora', 'lora_rs'] : ['lora'];
      for (const block of adapters) test(block, () => checkBlock(golden, block, { kind: 'adapter', adapter: readAdapter(join(golden.directory, block), golden.config) }));
    });
  }
}

test('ten AdamW steps on an adapter end where PyTorch ends', async () => {
  const golden = openGolden('llama-tied');
  const directory = new URL('../../fixtures/golden/optim/', import.meta.url);
  const { end_to_end: { 'llama-tied': run } }: { end_to_end: Record<string, { lr: number[]; loss_before_step: number[]; config: { weight_decay: number; max_grad_norm: number } }> } = JSON.parse(readFileSync(new URL('optim.json', directory), 'utf8'));
  assert.ok(run);
  const after = readSafetensors(fileURLToPath(new URL('e2e-llama-tied.safetensors', directory)));
  const learner = await createEmbeddedLearner(optionsFor(golden, { kind: 'adapter', adapter: readAdapter(join(golden.directory, 'lora'), golden.config) }));
  const optimizer = new AdamW(learner.parameters, { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: run.config.weight_decay });
  const { batch } = goldenBatch(golden, 1);
  for (const [step, learningRate] of run.lr.entries()) {
    const { loss, gradients } = await learner.forwardBackward(batch);
    assert.ok(Math.abs(loss - (run.loss_before_step[step] ?? Number.NaN)) < 1e-4, `loss before step ${step}: ${loss}, not ${run.loss_before_step[step]}`);
    const mutable = new Map(gradients);
    clipByGlobalNorm(mutable, run.config.max_grad_norm);
    optimizer.update(mutable, learningRate);
    for (const [name, { data }] of learner.parameters) if (after.has(`after.${step}.${name}`)) assertClose(data, after.read(`after.${step}.${name}`).data, 2e-5, `${name} after step ${step}`);
  }
  await learner.close();
});

describe('the learner', () => {
  const golden = openGolden('llama-tied');
  const open = (loss: LossFn = weightedNll) => createEmbeddedLearner(optionsFor(golden, { kind: 'adapter', adapter: readAdapter(join(golden.directory, 'lora'), golden.config) }, loss));

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
