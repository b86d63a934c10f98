/** A real model: greedy output equals that of transformers on the same dequantized weights (test/fixtures/smollm2/make_greedy.py). */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createAdapter, writeAdapter } from '../../model/adapter.ts';
import { openWeights } from '../../model/open.ts';
import { makeAdapters } from '../../bench/soak/adapters.ts';
import { skipWithoutSmollm2, smollm2Path } from '../fixtures/smollm2/find.ts';
import { collect, engineOn, greedy, idsOf, request, versionsOf } from './collect.ts';

interface Case {
  readonly prompt: string;
  readonly prompt_ids: readonly number[];
  readonly output_ids: readonly number[];
  readonly logprobs: readonly number[];
}
const { cases } = JSON.parse(readFileSync(new URL('../fixtures/smollm2/greedy.json', import.meta.url), 'utf8')) as { cases: readonly Case[] };

await test('SmolLM2 generates what transformers generates, alone and in one batch', { skip: skipWithoutSmollm2 }, async () => {
  await using running = await engineOn(smollm2Path ?? '', { maxContext: 256, threads: 0 });
  const { engine } = running;
  const generate = (index: number) => collect(engine, request(cases[index]?.prompt_ids ?? [], { maxTokens: 32 }));
  const first = await generate(0);
  const batch = await Promise.all(cases.map((_, index) => generate(index)));
  assert.deepEqual(batch[0]?.map(idsOf), first.map(idsOf));
  let worst = 0;
  for (const [index, { prompt, output_ids: expected, logprobs }] of cases.entries()) {
    const choice = batch[index]?.[0];
    assert.deepEqual(idsOf(choice), expected, prompt);
    choice?.tokens.forEach(({ logprob }, at) => { worst = Math.max(worst, Math.abs(logprob - (logprobs[at] ?? NaN))); });
  }
  assert.ok(worst < 1e-3, `log-probs differ by up to ${worst}`);
});

await test('SmolLM2 takes an adapter while it generates', { skip: skipWithoutSmollm2 }, async () => {
  const { config, weights } = await openWeights(smollm2Path ?? '');
  weights.close();
  await using running = await engineOn(smollm2Path ?? '', { maxContext: 256, threads: 0, adapterTargets: ['q_proj', 'v_proj'] });
  const { engine, directory } = running;
  writeAdapter(join(directory, 'adapter'), createAdapter(config, { rank: 4, alpha: 8, rsLora: false, targets: ['q_proj', 'v_proj'] }, () => 0.3), 'smollm2');
  const [{ prompt_ids: prompt, output_ids: expected } = { prompt_ids: [], output_ids: [] }] = cases;
  const swapped = Promise.withResolvers<void>();
  const running0 = collect(engine, request(prompt, { maxTokens: 32 }), undefined, (count) => {
    if (count !== 4) return;
    engine.loadPolicy({ version: 1, kind: 'adapter', directory: join(directory, 'adapter') })
      .then(() => engine.setCurrent(1)).then(swapped.resolve, swapped.reject);
  });
  await swapped.promise;
  const [after] = await collect(engine, request(prompt, { maxTokens: 32 }));
  const [before] = await running0;
  // A fresh adapter adds zero, so both versions say the same.
  assert.deepEqual([idsOf(before), idsOf(after)], [expected, expected]);
  assert.deepEqual([versionsOf(before)[31], versionsOf(after)[0]], [0, 1]);
});

await test('SmolLM2 says the same to the bit, alone and among twenty', { skip: skipWithoutSmollm2 }, async () => {
  await using running = await engineOn(smollm2Path ?? '', { maxContext: 256, maxRows: 20, threads: 0, prefixCacheBytes: 0 });
  const ask = (index: number) => collect(running.engine, request(cases[index % cases.length]?.prompt_ids ?? [], { maxTokens: 12, sampling: { ...greedy, temperature: 1, seed: index } }));
  // More rows than one product takes: they are computed sixteen and four at a time.
  const together = await Promise.all(Array.from({ length: 20 }, (_, index) => ask(index)));
  for (const index of [0, 7, 15, 16, 19]) assert.deepEqual(await ask(index), together[index], `row ${index}`);
});

await test('SmolLM2 says the same to the bit on each version, alone and in steps that versions share', { skip: skipWithoutSmollm2 }, async () => {
  const { config, weights } = await openWeights(smollm2Path ?? '');
  weights.close();
  await using running = await engineOn(smollm2Path ?? '', { maxContext: 256, maxRows: 16, threads: 0, prefixCacheBytes: 0, adapterTargets: ['q_proj', 'v_proj'] });
  const { engine, directory } = running;
  for (const [index, path] of makeAdapters(config, join(directory, 'adapters'), 2).entries()) await engine.loadPolicy({ version: index + 1, kind: 'adapter', directory: path });
  const ask = (index: number) => collect(engine, request(cases[index % cases.length]?.prompt_ids ?? [], { maxTokens: 12, version: index % 3, sampling: { ...greedy, temperature: 1, seed: index } }));
  const together = await Promise.all(Array.from({ length: 16 }, (_, index) => ask(index)));
  for (const index of [0, 1, 2, 13, 14, 15]) {
    assert.deepEqual(await ask(index), together[index], `row ${index}`);
    assert.ok(versionsOf(together[index]?.[0]).every((version) => version === index % 3));
  }
});
