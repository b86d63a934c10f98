import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { array, assert as check, asyncProperty, constantFrom, integer, option, record } from 'fast-check';
import type { GenerateRequest } from '../../engine/engine.ts';
import { NO_PENALTIES } from '../../engine/penalties.ts';
import { golden, idsOf, modelDirectory, request } from './collect.ts';
import { LIMITS, Stepping } from './stepping.ts';

const inputIds = golden.readInts('input_ids');

const anyRequest = record({
  arrives: integer({ min: 0, max: 30 }),
  aborts: option(integer({ min: 0, max: 30 }), { freq: 4 }),
  row: integer({ min: 0, max: 2 }),
  length: integer({ min: 1, max: 7 }),
  n: integer({ min: 1, max: 4 }),
  maxTokens: integer({ min: 1, max: 12 }),
  stop: integer({ min: 0, max: 96 }),
  temperature: constantFrom(0, 0.8),
  version: constantFrom(0, 1),
});

await test('whatever comes, goes and is aborted around it, a request gets what it gets alone', async () => {
  await using alone = await Stepping.start();
  await using busy = await Stepping.start({ limits: { ...LIMITS, maxRows: 3, chunk: 4, prefillBudget: 4 }, prefixCacheBytes: 60_000 });
  for (const s of [alone, busy]) await s.load(1, join(modelDirectory, 'lora'));
  await check(asyncProperty(array(anyRequest, { minLength: 1, maxLength: 8 }), async (plans) => {
    const entries = plans.map((plan, seed) => {
      const asked: GenerateRequest = request(inputIds.subarray(plan.row * 16, plan.row * 16 + plan.length), {
        n: plan.n, maxTokens: plan.maxTokens, stopTokenIds: [plan.stop], version: plan.version,
        sampling: { temperature: plan.temperature, topP: 1, topK: 0, minP: 0, seed, ...NO_PENALTIES },
      });
      return { plan, asked, outcome: null as ReturnType<Stepping['submit']> | null };
    });
    for (let step = 0; step <= 60; step++) {
      for (const entry of entries) {
        if (entry.plan.arrives === step) entry.outcome = busy.submit(entry.asked);
        if (entry.outcome && entry.plan.aborts === step) busy.batcher.abort(entry.outcome.id);
      }
      await busy.batcher.step();
    }
    await busy.run();
    busy.batcher.rest();
    const { running, waiting, kvBytes } = busy.batcher.stats();
    assert.deepEqual([running, waiting, kvBytes], [0, 0, 0]);
    for (const { plan, asked, outcome } of entries) {
      const reference = alone.submit(asked);
      await alone.run();
      const isAborted = plan.aborts !== null && plan.aborts >= plan.arrives;
      assert.ok(isAborted || outcome?.done);
      for (const [index, choice] of (outcome?.choices ?? []).entries()) {
        const expected = idsOf(reference.choices[index]);
        assert.deepEqual(idsOf(choice), isAborted ? expected.slice(0, choice.tokens.length) : expected);
        for (const [at, { logprob }] of choice.tokens.entries()) assert.ok(Math.abs(logprob - (reference.choices[index]?.tokens[at]?.logprob ?? NaN)) < 1e-5);
      }
    }
  }), { numRuns: 40 });
});
