import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { NO_PENALTIES } from '../../engine/penalties.ts';
import { golden, idsOf, modelDirectory, request, versionsOf } from './collect.ts';
import { LIMITS, Stepping } from './stepping.ts';

const ids = golden.readInts('input_ids');
/** 40 tokens: the golden rows one after the other. */
const prompt = ids.subarray(0, 40);
const prefixCacheBytes = 2 ** 24;
const limits = { ...LIMITS, maxContext: 128, chunk: 8, prefillBudget: 8 };
const seeded = (seed: number) => ({ temperature: 0.9, topP: 1, topK: 0, minP: 0, seed, ...NO_PENALTIES });

await test('members of a group that come as requests of their own share one reading of their prompt', async () => {
  await using alone = await Stepping.start({ limits });
  await using s = await Stepping.start({ limits, prefixCacheBytes });
  const group = Array.from({ length: 16 }, (_, seed) => request(prompt, { maxTokens: 20, sampling: seeded(seed) }));
  const outcomes = group.map((member) => s.submit(member));
  await s.run();
  s.batcher.rest();
  const { promptTokens, reusedTokens, kvBytes, prefixBytes } = s.batcher.stats();
  assert.deepEqual([promptTokens, reusedTokens, kvBytes], [40, 15 * 40, 0]);
  assert.ok(prefixBytes > 0 && prefixBytes <= prefixCacheBytes);
  for (const [index, member] of group.entries()) {
    const reference = alone.submit(member);
    await alone.run();
    assert.deepEqual(outcomes[index]?.choices, reference.choices, 'to the last bit');
  }
});

await test('a next turn reads only what is new; with a seed it gets what it gets without anything known', async () => {
  await using alone = await Stepping.start({ limits });
  await using s = await Stepping.start({ limits, prefixCacheBytes });
  const first = s.submit(request(prompt, { maxTokens: 20 }));
  await s.run();
  const next = [...prompt, ...idsOf(first.choices[0]), 5, 6, 7];
  const turns = [request(next), request(next, { sampling: seeded(1) })];
  const read: number[] = [];
  for (const turn of turns) {
    const before = s.batcher.stats().promptTokens;
    const [outcome, reference] = [s.submit(turn), alone.submit(turn)];
    await s.run();
    await alone.run();
    read.push(s.batcher.stats().promptTokens - before);
    assert.deepEqual(idsOf(outcome.choices[0]), idsOf(reference.choices[0]));
    outcome.choices[0]?.tokens.forEach(({ logprob }, at) => {
      const difference = Math.abs(logprob - (reference.choices[0]?.tokens[at]?.logprob ?? NaN));
      if (turn.sampling.seed === null) assert.ok(difference < 1e-5);
      else assert.equal(difference, 0);
    });
  }
  // The last token that was sampled was never computed, so four are new; the seeded turn takes over what was read, and reads what was generated.
  assert.deepEqual(read, [4, 23]);
  s.submit(turns[1] ?? request(next));
  await s.run();
  assert.equal(s.batcher.stats().promptTokens, 40 + 4 + 23, 'now all of it has been read');
});

await test('nothing crosses from one policy version to another', async () => {
  await using s = await Stepping.start({ limits, prefixCacheBytes, swap: 'cross' });
  await s.load(1, join(modelDirectory, 'lora'));
  const reads = async (changes: Parameters<typeof request>[1] = {}): Promise<number> => {
    const before = s.batcher.stats().promptTokens;
    const outcome = s.submit(request(prompt, changes));
    await s.run();
    assert.ok(outcome.done);
    return s.batcher.stats().promptTokens - before;
  };
  assert.deepEqual([await reads({ version: 0 }), await reads({ version: 1 }), await reads({ version: 1 })], [40, 40, 0]);
  const crossing = s.submit(request(ids.subarray(8), { maxTokens: 60 }));
  await s.run(() => idsOf(crossing.choices[0]).length === 30);
  s.batcher.setCurrent(1);
  await s.run();
  assert.deepEqual(new Set(versionsOf(crossing.choices[0])), new Set([0, 1]));
  const before = s.batcher.stats().promptTokens;
  s.submit(request([...ids.subarray(8), ...idsOf(crossing.choices[0])], { maxTokens: 1, version: 1 }));
  await s.run();
  assert.equal(s.batcher.stats().promptTokens - before, 100, 'what two versions computed is nobody\'s');
  s.batcher.setCurrent(0);
  s.batcher.retire(1);
  await s.load(1, join(modelDirectory, 'lora_rs'));
  assert.equal(await reads({ version: 1 }), 40, 'another policy of the same number');
});

await test('a prompt read leaves the same bits however it is cut', async () => {
  await using s = await Stepping.start({ limits });
  await using whole = await Stepping.start({ limits: { ...limits, chunk: 64, prefillBudget: 64 } });
  for (let length = 1; length < 40; length++) {
    const asked = request(prompt.subarray(0, length), { sampling: seeded(length), topLogprobs: 20 });
    const [a, b] = [s.submit(asked), whole.submit(asked)];
    await s.run();
    await whole.run();
    assert.deepEqual(a.choices, b.choices);
  }
});
