/** The probabilities themselves are compared with vLLM's in test/golden/sampling.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countGenerated, NO_PENALTIES, penalized, seenAtStart } from '../../engine/penalties.ts';
import { uniform } from '../../engine/random.ts';
import { distribution, NoDistributionError, sample } from '../../engine/sampler.ts';
import { topIds } from '../../engine/top.ts';

const plain = { temperature: 1, topP: 1, topK: 0, minP: 0, ...NO_PENALTIES };
const row = Float32Array.from({ length: 40 }, (_, i) => (i % 13 === 5 ? -Infinity : 4 * Math.sin(i * 12.9898)));

function logSoftmax(logits: Float32Array, temperature: number): Float64Array {
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit / temperature), 0);
  return Float64Array.from(logits, (logit) => logit / temperature - Math.log(total));
}

await test('log-probs: of the distribution that was sampled from, raw, and the most likely ones', () => {
  const seen = { prompt: new Set([1, 2]), generated: new Map([[3, 2]]) };
  const settings = [
    plain, { ...plain, temperature: 0.6 }, { ...plain, temperature: 0 }, { ...plain, topK: 5, topP: 0.9 },
    { ...plain, temperature: 1.4, repetitionPenalty: 1.3, presencePenalty: 0.5, frequencyPenalty: -0.2 },
  ];
  for (const options of settings) {
    const raw = logSoftmax(row, 1);
    const offered = penalized(row, options, seen);
    for (const u of [0, 0.3, 0.7, 1 - 2 ** -53]) {
      const token = sample(row, options, u, 5, seen);
      assert.ok(Math.abs(token.rawLogprob - (raw[token.id] ?? NaN)) < 1e-6);
      if (options.topK > 0) assert.ok(token.logprob > token.rawLogprob);
      else assert.ok(Math.abs(token.logprob - ((options.temperature === 0 ? raw : logSoftmax(offered, options.temperature))[token.id] ?? NaN)) < 1e-6);
      const best = [...raw].sort((a, b) => b - a);
      assert.deepEqual(token.top.map(({ logprob }) => logprob.toFixed(5)), best.slice(0, 5).map((logprob) => logprob.toFixed(5)));
    }
  }
});

await test('penalties count what a row generates, and cost nothing where they are off', () => {
  assert.equal(seenAtStart(Int32Array.of(1), NO_PENALTIES), null);
  const seen = seenAtStart(Int32Array.of(7), { ...NO_PENALTIES, frequencyPenalty: 1 });
  assert.ok(seen);
  for (const id of [3, 4, 3]) countGenerated(seen, id);
  const logits = new Float32Array(8).fill(2);
  assert.deepEqual([...penalized(logits, { repetitionPenalty: 2, frequencyPenalty: 0.25, presencePenalty: 0.5 }, seen)], [2, 2, 2, 0, 0.25, 2, 2, 1]);
  assert.deepEqual([...penalized(logits.map((x) => -x), { ...NO_PENALTIES, repetitionPenalty: 2 }, seen)], [-2, -2, -2, -4, -4, -2, -2, -4]);
  assert.deepEqual([...logits], [2, 2, 2, 2, 2, 2, 2, 2], 'the row itself stays');
  // Greedy follows the penalized logits, its log-prob is the model's own.
  const greedy = sample(Float32Array.of(1, 1.5), { ...plain, temperature: 0, presencePenalty: 1 }, 0, 0, { prompt: new Set(), generated: new Map([[1, 1]]) });
  assert.equal(greedy.id, 0);
  assert.equal(greedy.logprob, greedy.rawLogprob);
});

await test('tokens come as often as their probability says', () => {
  const logits = Float32Array.from([1, 2, 0, -Infinity, 3]);
  const options = { ...plain, temperature: 0.8, topP: 0.95, topK: 4, minP: 0.01 };
  const counts = new Float64Array(5);
  const draws = 20_000;
  for (let i = 0; i < draws; i++) {
    const { id } = sample(logits, options, uniform(1, 0, i), 0, null);
    counts[id] = (counts[id] ?? 0) + 1 / draws;
  }
  const { ids, weights, total } = distribution(logits, options, 3);
  const expected = new Float64Array(5);
  ids?.forEach((id, i) => { expected[id] = (weights[i] ?? 0) / total; });
  counts.forEach((share, id) => assert.ok(Math.abs(share - (expected[id] ?? 0)) < 0.015, `token ${id}: ${share} for ${expected[id]}`));
});

await test('top-p with a large vocabulary equals sorting all of it', () => {
  const logits = Float32Array.from({ length: 20_000 }, (_, i) => 6 * Math.sin(i * 12.9898) + i * 1e-7);
  for (const topP of [0.001, 0.5, 0.9, 0.999]) {
    const { ids } = distribution(logits, { temperature: 1, topP, topK: 0, minP: 0 }, Math.max(...logits));
    const exp = Float64Array.from(logits, (x) => Math.exp(x - 6));
    const order = [...exp.keys()].sort((a, b) => (exp[a] ?? 0) - (exp[b] ?? 0));
    const total = exp.reduce((sum, x) => sum + x, 0);
    let dropped = 0;
    const kept = order.filter((id, i) => { dropped += exp[id] ?? 0; return dropped > (1 - topP) * total || i === order.length - 1; });
    assert.ok(Math.abs((ids?.length ?? 0) - kept.length) <= 1, `top-p ${topP}: ${ids?.length} kept, expected ${kept.length}`);
  }
});

await test('broken logits are an error, not a token', () => {
  for (const logits of [Float32Array.of(NaN, NaN), Float32Array.of(1, NaN), Float32Array.of(-Infinity, -Infinity), Float32Array.of(Infinity, 0)]) {
    for (const temperature of [0, 0.5, 1]) {
      for (const seen of [null, { prompt: new Set([0]), generated: new Map() }]) {
        assert.throws(() => sample(logits, { ...plain, temperature, repetitionPenalty: 1.5 }, 0.5, 0, seen), NoDistributionError, `${[...logits].join(' ')} at ${temperature}`);
      }
    }
  }
});

await test('topIds orders by value, then id', () => {
  assert.deepEqual([...topIds(Float32Array.of(1, 5, 3, 5, -1, 3), 4)], [1, 3, 2, 5]);
  assert.deepEqual([...topIds(Float32Array.of(2, 1), 5)], [0, 1]);
  assert.deepEqual([...topIds(Float32Array.of(2, 1), 0)], []);
  const values = Float32Array.from({ length: 3000 }, (_, i) => Math.round(50 * Math.sin(i * 7.1)));
  const sorted = [...values.keys()].sort((a, b) => (values[b] ?? 0) - (values[a] ?? 0) || a - b);
  assert.deepEqual([...topIds(values, 300)], sorted.slice(0, 300));
});

test('a grammar\'s mask and a bias are part of the distribution, not of the raw one', () => {
  const logits = Float32Array.of(0, 1, 2, 3, ...Array.from({ length: 40 }, () => 5));
  const allowed = Int32Array.of(0b0110, 0); // tokens 1 and 2
  const probability = (id: number) => Math.exp(id) / (Math.exp(1) + Math.exp(2));
  const raw = (logit: number) => logit - Math.log(Array.from(logits, (each) => Math.exp(each)).reduce((a, b) => a + b));
  for (const u of [0, 0.2, 0.5, 0.999]) {
    const token = sample(logits, { ...plain, temperature: 1 }, u, 1, null, allowed);
    assert.equal(token.id, u < probability(1) ? 1 : 2);
    assert.ok(Math.abs(token.logprob - Math.log(probability(token.id))) < 1e-6);
    assert.ok(Math.abs(token.rawLogprob - raw(token.id)) < 1e-6);
    assert.deepEqual(token.top.map(({ id }) => id), [4]);
  }
  const biased = sample(logits, { ...plain, temperature: 0, logitBias: [[1, 1.5], [43, 100]] }, 0, 0, null, allowed);
  assert.equal(biased.id, 1, 'a bias changes what is likeliest within the mask, and lets nothing else in');
  assert.equal(sample(logits, { ...plain, temperature: 1, topK: 1 }, 0.99, 0, null, allowed).id, 2, 'cuts are within the mask');
  assert.throws(() => sample(logits, { ...plain, temperature: 1 }, 0.5, 0, null, Int32Array.of(0, 0)), /continues the grammar/);
});

await test('with probabilities that came with the logits, the same token of the same probability', () => {
  const width = 40, block = 8;
  for (const temperature of [0, 0.2, 0.7, 1, 2]) {
    const probabilities = Float32Array.from(logSoftmax(row, temperature || 1), Math.exp);
    const sums = Float32Array.from({ length: width / block }, (_, i) => probabilities.subarray(i * block, (i + 1) * block).reduce((sum, p) => sum + p, 0));
    for (let i = 0; i < 200; i++) {
      const u = i === 0 ? 0 : i === 1 ? 1 - 2 ** -53 : uniform(1, 0, i);
      const plainly = sample(row, { ...plain, temperature }, u, 3, null);
      const weighed = sample(row, { ...plain, temperature }, u, 3, null, null, { probabilities, sums });
      assert.equal(weighed.id, plainly.id);
      assert.ok(Math.abs(weighed.logprob - plainly.logprob) < 1e-6 && Math.abs(weighed.rawLogprob - plainly.rawLogprob) < 1e-6);
      assert.deepEqual(weighed.top.map(({ id }) => id), plainly.top.map(({ id }) => id));
    }
  }
  const broken = new Float32Array(width).fill(NaN);
  for (const temperature of [0, 1]) {
    assert.throws(() => sample(broken, { ...plain, temperature }, 0.5, 0, null, null, { probabilities: broken, sums: new Float32Array(5).fill(NaN) }), NoDistributionError);
  }
});
