/** Every architecture: what the engine serves against PyTorch's results, and against what the trainer computes. Greedy texts are compared in test/golden/models. */
import assert from 'node:assert/strict';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { cacheShape } from '../../engine/decode-graph.ts';
import { KvCache } from '../../engine/kv.ts';
import { PolicyLoader } from '../../engine/policy.ts';
import { readAdapter } from '../../model/adapter.ts';
import { createEmbeddedLearner, type EmbeddedLearnerOptions } from '../../trainer/backends/embedded.ts';
import type { MicroBatch } from '../../trainer/learner.ts';
import { assertClose, openGolden } from '../model/golden.ts';
import { weightedNll } from '../trainer/backends/golden-batch.ts';
import { collect, engineOn, greedy, request } from './collect.ts';

/** One row, of which the tokens from `start` on are wanted. */
function batchOf(ids: readonly number[], start: number): MicroBatch {
  const positions = ids.slice(start).map((_, i) => start + i - 1);
  return {
    batch: 1, time: ids.length, tokenIds: Int32Array.from(ids), positions: Int32Array.from(positions), targets: Int32Array.from(ids.slice(start)),
    temperature: new Float32Array(positions.length).fill(1), perToken: {},
  };
}

for (const name of ['llama-tied', 'llama-untied-llama3rope', 'qwen2', 'qwen3', 'gemma3-text']) {
  describe(name, () => {
    const golden = openGolden(name);
    const { results } = golden;
    const [rows = 0, time = 0] = results.shape('input_ids');
    const ids = results.readInts('input_ids');
    const prompt = (row: number, length: number): Int32Array => ids.subarray(row * time, row * time + length);

    test('a prompt read in pieces gives the logits of one read', async () => {
      await using directory = await mkdtempDisposable(join(tmpdir(), 'engine-'));
      const loader = await PolicyLoader.open(golden.directory, { cacheDir: directory.path, maxContext: 64, threads: 1 });
      const policy = await loader.base();
      const cache = new KvCache(cacheShape(golden.config), 64);
      cache.reserve(1, time, []);
      const vocabulary = golden.config.vocabSize;
      for (const [start, end] of [[0, 5], [5, 6], [6, 14], [14, 16]] as const) {
        const { logits } = await policy.runner.run({ tokenIds: ids.slice(start, end), batch: 1, pasts: Int32Array.of(start), cache, slot: 0, adapters: [null] });
        assertClose(logits.subarray(0, vocabulary), results.read('base/logits').data.subarray((end - 1) * vocabulary, end * vocabulary), 5e-5, `after ${end} tokens`);
      }
      policy.release();
    });

    const policies: [what: string, version: number, trainable: EmbeddedLearnerOptions['trainable']][] = [
      ['the base model', 0, { kind: 'full' }],
      ['an adapter', 1, { kind: 'adapter', adapter: readAdapter(join(golden.directory, 'lora'), golden.config) }],
    ];
    for (const [what, version, trainable] of policies) {
      test(`${what} is trained on the log-probs that it is served with`, async () => {
        await using running = await engineOn(golden.directory);
        const { engine, directory } = running;
        if (version > 0) await engine.loadPolicy({ version, kind: 'adapter', directory: join(golden.directory, 'lora') });
        const learner = await createEmbeddedLearner({
          model: { config: golden.config, weights: golden.weights, fingerprint: name }, trainable, loss: weightedNll, threads: 1, cacheDir: join(directory, 'trainer'),
        });
        // Rows of different lengths decode in one batch; each gets past every window.
        const prompts = [3, 11, 16].map((length, row) => prompt(row % rows, Math.min(length, time)));
        const sampling = { ...greedy, temperature: 1, seed: 7 };
        const choices = await Promise.all(prompts.map((tokens) => collect(engine, request(tokens, { maxTokens: 24, sampling, version }))));
        for (const [i, [choice]] of choices.entries()) {
          const tokens = choice?.tokens ?? [];
          const observation = [...prompts[i] ?? []];
          const { logprobs } = await learner.forward(batchOf([...observation, ...tokens.map(({ id }) => id)], observation.length));
          assert.equal(tokens.length, 24);
          assertClose(tokens.map(({ logprob }) => logprob), logprobs, 5e-5, `row ${i}`);
        }
        await learner.close();
      });
    }
  });
}
