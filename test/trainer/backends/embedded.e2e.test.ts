/** The learner on a real model: SmolLM2-135M-Instruct from its Q4_1 file. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createAdapter } from '../../../model/adapter.ts';
import { openModel } from '../../../model/open.ts';
import { createEmbeddedLearner } from '../../../trainer/backends/embedded.ts';
import type { MicroBatch } from '../../../trainer/learner.ts';
import { seededRandom } from '../../../trainer/random.ts';
import { skipWithoutSmollm2, smollm2Path } from '../../fixtures/smollm2/find.ts';
import { assertClose } from '../../model/golden.ts';
import { weightedNll } from './golden-batch.ts';

const { cases }: { cases: { prompt_ids: number[]; output_ids: number[]; logprobs: number[] }[] } = JSON.parse(readFileSync(new URL('../../fixtures/smollm2/greedy.json', import.meta.url), 'utf8'));

const cacheDir = mkdtempSync(join(tmpdir(), 'learner-'));
after(() => rmSync(cacheDir, { recursive: true }));

function batchOf({ prompt_ids: prompt, output_ids: output }: (typeof cases)[number]): MicroBatch {
  return {
    batch: 1,
    time: prompt.length + output.length,
    tokenIds: Int32Array.from([...prompt, ...output]),
    positions: Int32Array.from(output, (_, i) => prompt.length + i - 1),
    targets: Int32Array.from(output),
    temperature: new Float32Array(output.length).fill(1),
    perToken: { weight: new Float32Array(output.length).fill(1 / output.length) },
  };
}

test('SmolLM2: log-probs are transformers\', and a step down the gradient lowers the loss by what the gradient says', { skip: skipWithoutSmollm2 }, async () => {
  const model = await openModel(smollm2Path ?? assert.fail());
  const adapter = createAdapter(model.config, { rank: 8, alpha: 16, rsLora: false, targets: ['q_proj', 'v_proj', 'down_proj'] }, seededRandom(1));
  const learner = await createEmbeddedLearner({ model, trainable: { kind: 'adapter', adapter }, loss: weightedNll, threads: 0, cacheDir });
  for (const one of cases) assertClose((await learner.forward(batchOf(one))).logprobs, one.logprobs, 1e-4, 'log-probs');

  const batch = batchOf(cases.at(-1) ?? assert.fail());
  const before = await learner.forwardBackward(batch);
  const squaredNorm = [...before.gradients.values()].reduce((sum, gradient) => sum + gradient.reduce((own, g) => own + g * g, 0), 0);
  const rate = (0.01 * before.loss) / squaredNorm;
  for (const [name, { data }] of learner.parameters) before.gradients.get(name)?.forEach((g, i) => { data[i] = (data[i] ?? 0) - rate * g; });
  const after = await learner.forwardBackward(batch);
  const predicted = rate * squaredNorm;
  assert.ok(Math.abs(before.loss - after.loss - predicted) < 0.1 * predicted, `the loss fell from ${before.loss} to ${after.loss}, by ${predicted} as predicted`);
  await learner.close();
  model.weights.close();
});
