import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { exactness } from '../../bench/soak/exactness.ts';
import { runLoad } from '../../bench/soak/load.ts';
import { rested, rowsAtWork } from '../../bench/soak/slots.ts';
import { seededRandom } from '../../trainer/random.ts';
import { engineOn, modelDirectory, VOCAB } from './collect.ts';

const adapters = ['lora', 'lora_rs'].map((name) => join(modelDirectory, name));
const options = { maxRows: 8, maxContext: 128, prefixCacheBytes: 400_000 };

await test('under load with joins, leaves, aborts and swaps: log-probs are the trainer\'s, and nothing is lost', async () => {
  const threads: Worker[] = [];
  process.once('worker', (thread) => { threads.push(thread); });
  await using running = await engineOn(modelDirectory, options);
  const { engine } = running;
  const outcome = await runLoad({ engine, vocabSize: VOCAB, clients: 24, adapters, swapMs: 20, leastTokens: 20_000, random: seededRandom(7) }, AbortSignal.timeout(8000));
  assert.deepEqual(outcome.failures, []);
  assert.ok(outcome.swaps > 50 && outcome.aborted > 20, `${outcome.swaps} swaps, ${outcome.aborted} aborts`);
  for (const { versions } of outcome.samples) assert.equal(new Set(versions).size, 1, 'a request ends on the version it began with');
  const { running: rows, waiting, kvBytes, prefixBytes, promptTokens, reusedTokens } = await rested(engine);
  assert.deepEqual([rows, waiting, kvBytes], [0, 0, 0]);
  assert.ok(prefixBytes <= options.prefixCacheBytes && reusedTokens > promptTokens / 10, `${reusedTokens} of ${promptTokens + reusedTokens} prompt tokens reused`);
  // Garbage is collected before there is much of it.
  const [heapBytes = NaN] = await Promise.all(threads.map(async (thread) => (await thread.getHeapStatistics()).total_heap_size));
  assert.ok(heapBytes < 80 * 2 ** 20, `the engine's thread has a heap of ${heapBytes >> 20} MB`);
  // No slot is lost: all rows work at once.
  assert.equal(await rowsAtWork(engine, options.maxRows), options.maxRows);
  const { tokens, aborted, sawSwap, maxAbsolute } = await exactness(modelDirectory, outcome, adapters, join(running.directory, 'cache'), 12_000);
  assert.ok(tokens >= 12_000 && aborted > 0 && sawSwap > 0, `${tokens} tokens, ${aborted} of aborted requests, ${sawSwap} across swaps`);
  assert.ok(maxAbsolute <= 1e-4, `largest difference ${maxAbsolute}`);
});

await test('crossing over: a token\'s version is the one that sampled it', async () => {
  await using running = await engineOn(modelDirectory, { ...options, swap: 'cross' });
  const outcome = await runLoad({ engine: running.engine, vocabSize: VOCAB, clients: 16, adapters, swapMs: 10, random: seededRandom(8) }, AbortSignal.timeout(4000));
  assert.deepEqual(outcome.failures, []);
  assert.ok(outcome.samples.some(({ versions }) => new Set(versions).size > 1));
  const known = new Set([0, ...outcome.adapterOf.keys()]);
  assert.ok(outcome.samples.every(({ versions, tokenIds }) => versions.length === tokenIds.length && versions.every((version) => known.has(version))));
  const { running: rows, waiting, kvBytes } = await rested(running.engine);
  assert.deepEqual([rows, waiting, kvBytes], [0, 0, 0]);
});
