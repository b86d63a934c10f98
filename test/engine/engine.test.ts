import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rested } from '../../bench/soak/slots.ts';
import type { SamplingOptions } from '../../engine/engine.ts';
import { NO_PENALTIES } from '../../engine/penalties.ts';
import { collect, engineOn, golden, greedy, idsOf, modelDirectory, request, VOCAB, type Choice } from './collect.ts';

const inputIds = golden.readInts('input_ids');
const lengths = golden.readInts('lengths');
const TIME = 16;
const promptOf = (row: number, length = lengths[row] ?? 0) => inputIds.subarray(row * TIME, row * TIME + length);
const hot: SamplingOptions = { temperature: 0.9, topP: 1, topK: 0, minP: 0, seed: 11, ...NO_PENALTIES };

await using shared = await engineOn(modelDirectory);
const { engine } = shared;

function assertSame(actual: Choice[], expected: Choice[], label: string): void {
  assert.deepEqual(actual.map(idsOf), expected.map(idsOf), label);
  actual.forEach((choice, i) => choice.tokens.forEach((token, at) => {
    const other = expected[i]?.tokens[at];
    assert.ok(Math.abs(token.logprob - (other?.logprob ?? NaN)) < 1e-5 && Math.abs(token.rawLogprob - (other?.rawLogprob ?? NaN)) < 1e-5, `${label}: token ${at}`);
  }));
}

await test('greedy generation equals PyTorch\'s', async () => {
  const expected = golden.readInts('greedy_from_prompt');
  for (const [row, length] of [5, 4, 2].entries()) {
    const [choice] = await collect(engine, request(promptOf(row, length)));
    assert.deepEqual(idsOf(choice), [...expected.subarray(row * 12, row * 12 + 12)]);
    assert.equal(choice?.reason, 'length');
  }
});

await test('penalties count what each choice has generated itself', async () => {
  const sampling = { ...hot, frequencyPenalty: 100 };
  const choices = await collect(engine, request(promptOf(0, 5), { n: 3, sampling }));
  for (const choice of choices) assert.equal(new Set(idsOf(choice)).size, 12, 'no token comes twice');
  const alone = await collect(engine, request(promptOf(0, 5), { n: 1, sampling }));
  assertSame(alone, choices.slice(0, 1), 'the first choice alone');
  const repeating = await collect(engine, request(promptOf(0, 5), { n: 3, sampling: hot }));
  assert.ok(repeating.some((choice) => new Set(idsOf(choice)).size < 12));
});

await test('log-probs equal PyTorch\'s at every position, raw and under the temperature', async () => {
  const logprobs = golden.read('base/logits').data;
  for (let row = 0; row < 3; row++) {
    for (let length = 1; length <= (lengths[row] ?? 0); length++) {
      const logits = logprobs.subarray((row * TIME + length - 1) * VOCAB, (row * TIME + length) * VOCAB);
      const logSoftmax = (temperature: number) => {
        const total = logits.reduce((sum, logit) => sum + Math.exp(logit / temperature), 0);
        return (id: number) => (logits[id] ?? NaN) / temperature - Math.log(total);
      };
      const [choice] = await collect(engine, request(promptOf(row, length), { maxTokens: 1, topLogprobs: 20, sampling: { ...hot, temperature: 0.7, seed: length } }));
      const token = choice?.tokens[0];
      assert.ok(token);
      assert.ok(Math.abs(token.rawLogprob - logSoftmax(1)(token.id)) < 5e-5);
      assert.ok(Math.abs(token.logprob - logSoftmax(0.7)(token.id)) < 1e-4);
      assert.equal(token.top.length, 20);
      for (const { id, logprob } of token.top) assert.ok(Math.abs(logprob - logSoftmax(1)(id)) < 5e-5);
    }
  }
});

await test('the same seed gives the same tokens, alone and among others that come and go', async () => {
  const wanted = request(promptOf(0), { n: 2, maxTokens: 20, sampling: hot });
  const alone = await collect(engine, wanted);
  assert.notDeepEqual(idsOf(alone[0]), idsOf(alone[1]), 'choices differ from each other');
  const others = [3, 17, 8, 30, 5, 11].map((maxTokens, i) => collect(engine, request(promptOf(i % 3, 2 + i), { maxTokens, sampling: { ...hot, seed: i } })));
  const among = await collect(engine, wanted);
  const late = collect(engine, wanted);
  assertSame(among, alone, 'among others');
  assertSame(await late, alone, 'later');
  await Promise.all(others);
  const [other] = await collect(engine, request(promptOf(0), { maxTokens: 20, sampling: { ...hot, seed: 12 } }));
  assert.notDeepEqual(idsOf(other), idsOf(alone[0]), 'another seed, other tokens');
});

await test('without a seed two requests differ; with an engine seed an engine repeats itself', async () => {
  const unseeded = request(promptOf(0), { maxTokens: 20, sampling: { ...hot, seed: null } });
  assert.notDeepEqual(idsOf((await collect(engine, unseeded))[0]), idsOf((await collect(engine, unseeded))[0]));
  const runs: number[][] = [];
  for (let run = 0; run < 2; run++) {
    await using seeded = await engineOn(modelDirectory, { seed: 5 });
    runs.push(idsOf((await collect(seeded.engine, unseeded))[0]));
  }
  assert.deepEqual(runs[0], runs[1]);
});

await test('a stop token ends a choice, is part of it, and has its log-prob', async () => {
  const [free] = await collect(engine, request(promptOf(0)));
  const stop = idsOf(free)[4] ?? -1;
  const at = idsOf(free).indexOf(stop);
  const [stopped] = await collect(engine, request(promptOf(0), { stopTokenIds: [stop] }));
  assert.deepEqual(idsOf(stopped), idsOf(free).slice(0, at + 1));
  assert.equal(stopped?.reason, 'stop');
  assert.ok((stopped?.tokens.at(-1)?.logprob ?? 1) < 0);
});

await test('n choices share one reading of the prompt, also when there are more than rows', async () => {
  const before = await engine.stats();
  const wanted = request(promptOf(0), { n: 20, maxTokens: 5, sampling: hot });
  const choices = await collect(engine, wanted);
  const after = await engine.stats();
  assert.equal(after.promptTokens - before.promptTokens, lengths[0]);
  assert.equal(after.completionTokens - before.completionTokens, 100);
  assert.ok(choices.every(({ reason, tokens }) => reason === 'length' && tokens.length === 5));
  assert.ok(new Set(choices.map((choice) => idsOf(choice).join())).size > 15);
  await using narrow = await engineOn(modelDirectory, { maxRows: 1 });
  assertSame(await collect(narrow.engine, wanted), choices, 'one row');
  const [greedyChoice] = await collect(engine, request(promptOf(0)));
  for (const choice of await collect(engine, request(promptOf(0), { n: 3 }))) assertSame([choice], [greedyChoice ?? choice], 'greedy copies');
});

await test('choices that end with their first token make room for the next', async () => {
  const first = idsOf((await collect(engine, request(promptOf(0))))[0])[0] ?? -1;
  for (const n of [1, 2, 5, 20]) {
    const stopped = await collect(engine, request(promptOf(0), { n, stopTokenIds: [first] }));
    assert.deepEqual(stopped.map((choice) => [idsOf(choice), choice.reason]), Array.from({ length: n }, () => [[first], 'stop']));
    const single = await collect(engine, request(promptOf(0), { n, maxTokens: 1, sampling: hot }));
    assert.ok(single.every(({ tokens, reason }) => tokens.length === 1 && reason === 'length'));
  }
});

await test('nothing is left behind, once the next request has had a while to come', async () => {
  await collect(engine, request(promptOf(0)));
  assert.ok((await engine.stats()).kvBytes > 0);
  const stats = await rested(engine);
  assert.deepEqual({ running: stats.running, waiting: stats.waiting, kvBytes: stats.kvBytes }, { running: 0, waiting: 0, kvBytes: 0 });
  assert.deepEqual(greedy.seed, null);
});
