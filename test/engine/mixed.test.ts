/** Rows of several adapters, and of none, in one step: each gets what it gets alone. */
import assert from 'node:assert/strict';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { cacheShape } from '../../engine/decode-graph.ts';
import { KvCache } from '../../engine/kv.ts';
import { PolicyLoader, type Policy } from '../../engine/policy.ts';
import { createAdapter, writeAdapter } from '../../model/adapter.ts';
import { seededRandom } from '../../trainer/random.ts';
import { openGolden } from '../model/golden.ts';

const ROWS = 16;
const STEPS = 6;

for (const name of ['llama-tied', 'llama-untied-llama3rope', 'qwen2', 'qwen3', 'gemma3-text']) {
  for (const weights of ['float32', 'int8'] as const) {
    await test(`${name} in ${weights}: a row is the same to the bit, alone and among rows of other adapters`, async () => {
      await using directory = await mkdtempDisposable(join(tmpdir(), 'mixed-'));
      const golden = openGolden(name);
      const targets = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];
      const loader = await PolicyLoader.open(golden.directory, { cacheDir: join(directory.path, 'cache'), maxContext: 64, threads: 1, weights, adapterTargets: targets });
      const make = (version: number, rank: number, on: readonly string[], size: number): Promise<Policy> => {
        const random = seededRandom(version);
        const adapter = createAdapter(golden.config, { rank, alpha: rank, rsLora: false, targets: on }, random);
        for (const { a, b } of adapter.modules.values()) for (const { data } of [a, b]) data.forEach((_, i) => { data[i] = size * (random() - 0.5); });
        writeAdapter(join(directory.path, String(version)), adapter, 'base');
        return loader.load({ version, kind: 'adapter', directory: join(directory.path, String(version)) });
      };
      // The one that has diverged lies between the others, and would make numbers that are none of whatever it touched.
      const base = await loader.base();
      const policies = [base, await make(1, 3, ['q_proj', 'down_proj'], 0.5), await make(2, 2, targets, 1e30), await make(3, 8, targets, 0.5)];
      const served = policies.filter(({ version }) => version !== 2);
      const rows = Array.from({ length: ROWS }, (_, row) => served[row % served.length] ?? assert.fail());
      const tokenOf = (row: number, step: number): number => (7 * row + 3 * step) % golden.config.vocabSize;
      const generate = async (slots: readonly number[], mayDependOnBatch = false): Promise<Float32Array[]> => {
        const cache = new KvCache(cacheShape(golden.config), 64);
        cache.reserve(slots.length, 64, []);
        const results: Float32Array[] = [];
        for (let step = 0; step < STEPS; step++) {
          const { logits } = await base.runner.run({
            tokenIds: Int32Array.from(slots, (row) => tokenOf(row, step)), batch: slots.length, pasts: new Int32Array(slots.length).fill(step), cache, slot: 0,
            adapters: slots.map((row) => rows[row]?.adapter ?? null), mayDependOnBatch,
          });
          results.push(logits.slice());
        }
        return results;
      };
      const together = await generate(rows.map((_, row) => row));
      const vocabulary = golden.config.vocabSize;
      for (const row of rows.keys()) {
        for (const [step, alone] of (await generate([row])).entries()) {
          assert.ok(alone.every(Number.isFinite));
          assert.deepEqual(together[step]?.subarray(row * vocabulary, (row + 1) * vocabulary), alone, `row ${row}, step ${step}`);
        }
      }
      // In the form that is fastest for few rows it differs in its last digits at most.
      for (const slots of [[0], [1], [1, 1 + served.length], [0, 1]]) {
        for (const [step, logits] of (await generate(slots, true)).entries()) {
          for (const [at, row] of slots.entries()) {
            const exact = together[step]?.subarray(row * vocabulary, (row + 1) * vocabulary) ?? assert.fail();
            const worst = exact.reduce((most, logit, i) => Math.max(most, Math.abs(logit - (logits[at * vocabulary + i] ?? NaN))), 0);
            assert.ok(worst <= 2e-5 * exact.reduce((most, logit) => Math.max(most, Math.abs(logit)), 1), `row ${row} of ${slots.join(' and ')}, step ${step}: ${worst}`);
          }
        }
      }
      assert.notDeepEqual(together[1]?.subarray(0, vocabulary), together[1]?.subarray(vocabulary, 2 * vocabulary));
    });
  }
}
