import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { readAdapter } from '../../../model/adapter.ts';
import { mul, neg, reduceSum } from '../../../model/graph/index.ts';
import { createEmbeddedLearner, type EmbeddedLearnerOptions } from '../../../trainer/backends/embedded.ts';
import type { LossFn, MicroBatch } from '../../../trainer/learner.ts';
import { assertClose, maxAbs, openGolden, type Golden } from '../../model/golden.ts';

const cacheDir = mkdtempSync(join(tmpdir(), 'learner-'));
after(() => rmSync(cacheDir, { recursive: true }));

const weightedNll: LossFn = ({ logprob, perToken }) => ({ loss: neg(reduceSum(mul(perToken('weight'), logprob))) });

/** The golden batch; every real token with a successor is listed, then a few entries of padding. */
function goldenBatch({ results }: Golden, temperature: number): { batch: MicroBatch; at: readonly number[] } {
  const [rows = 0, time = 0] = results.shape('input_ids');
  const ids = results.readInts('input_ids');
  const attention = results.readInts('attention_mask');
  const weights = results.read('weights').data;
  const lossMask = results.read('loss_mask').data;
  const maskSum = lossMask.reduce((a, b) => a + b, 0);
  const at: number[] = [];
  const flat: number[] = [];
  for (let b = 0; b < rows; b++) for (let t = 0; t + 1 < time; t++) if (attention[b * time + t + 1] === 1) { at.push(b * (time - 1) + t); flat.push(b * time + t); }
  const padding = [0, 0, 0];
  const positions = [...flat, ...padding];
  return {
    at,
    batch: {
      batch: rows,
      time,
      tokenIds: ids,
      positions: Int32Array.from(positions),
      targets: Int32Array.from([...flat.map((position) => ids[position + 1] ?? 0), ...padding]),
      temperature: Float32Array.from([...flat.map(() => temperature), 1, 1, 1]),
      perToken: { weight: Float32Array.from([...at.map((i) => ((weights[i] ?? 0) * (lossMask[i] ?? 0)) / maskSum), 0, 0, 0]) },
    },
  };
}

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

for (const name of ['llama-tied', 'llama-untied-llama3rope']) {
  for (const layout of ['config.json', 'config.v4.json'] as const) {
    describe(`${name} with ${layout} computes what PyTorch computes`, () => {
      const golden = openGolden(name, layout);
      test('all parameters', () => checkBlock(golden, 'base', { kind: 'full', start: golden.weights }));
      const adapters = golden.results.has('lora_rs/logits') ? ['lora', 'lora_rs'] : ['lora'];
      for (const block of adapters) test(block, () => checkBlock(golden, block, { kind: 'adapter', adapter: readAdapter(join(golden.directory, block), golden.config) }));
    });
  }
}
