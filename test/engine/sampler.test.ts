import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { uniform } from '../../engine/random.ts';
import { distribution, NoDistributionError, sample } from '../../engine/sampler.ts';
import { topIds } from '../../engine/top.ts';
import { readSafetensors } from '../../model/weights/safetensors.ts';

interface GoldenConfig {
  temperature?: number; top_k?: number; top_p?: number; min_p?: number;
  repetition_penalty?: number; presence_penalty?: number; frequency_penalty?: number;
}
const directory = new URL('../fixtures/golden/sampling/', import.meta.url);
const golden = JSON.parse(readFileSync(new URL('sampling.json', directory), 'utf8')) as {
  configs: GoldenConfig[]; cases: { config: number; row: number; tie_ambiguous: boolean }[];
};
const tensors = readSafetensors(new URL('sampling.safetensors', directory).pathname);
const VOCAB = 40;
const logitsOf = (row: number) => tensors.read('logits').data.slice(row * VOCAB, (row + 1) * VOCAB);

function shaping(config: GoldenConfig) {
  return { temperature: config.temperature ?? 1, topP: config.top_p ?? 1, topK: config.top_k ?? 0, minP: config.min_p ?? 0 };
}

/** The probabilities as a dense row. */
function probabilities(logits: Float32Array, config: GoldenConfig): Float64Array {
  const dense = new Float64Array(logits.length);
  if (config.temperature === 0) {
    dense[sample(logits, shaping(config), 0, 0).id] = 1;
    return dense;
  }
  const { ids, weights, total } = distribution(logits, shaping(config), Math.max(...logits));
  weights.forEach((weight, i) => { dense[ids ? ids[i] ?? 0 : i] = weight / total; });
  return dense;
}

await test('probabilities equal vLLM\'s for every setting without penalties', () => {
  let compared = 0;
  for (const { config: index, row, tie_ambiguous: ambiguous } of golden.cases) {
    const config = golden.configs[index] ?? {};
    if (config.repetition_penalty ?? config.presence_penalty ?? config.frequency_penalty) continue;
    const expected = tensors.read(`c${index}.r${row}.vllm`).data;
    const actual = probabilities(logitsOf(row), config);
    const [a, b] = ambiguous ? [actual.toSorted(), expected.toSorted()] : [actual, expected];
    const label = `config ${JSON.stringify(config)} row ${row}`;
    a.forEach((p, i) => {
      assert.ok(Math.abs(p - (b[i] ?? NaN)) < 1e-5, `${label}: token ${i} has ${p}, expected ${b[i]}`);
      assert.equal(p > 0, (b[i] ?? 0) > 0, `${label}: support at ${i}`);
    });
    compared++;
  }
  assert.equal(compared, 14 * 7);
});

await test('log-probs: of the processed distribution, raw, and the most likely ones', () => {
  const raw = tensors.read('raw_logprobs').data;
  for (let row = 0; row < 7; row++) {
    for (const config of golden.configs) {
      if (config.repetition_penalty ?? config.presence_penalty ?? config.frequency_penalty) continue;
      const logits = logitsOf(row);
      const expected = probabilities(logits, config);
      for (const u of [0, 0.3, 0.7, 1 - 2 ** -53]) {
        const token = sample(logits, shaping(config), u, 5);
        const rawExpected = raw[row * VOCAB + token.id] ?? NaN;
        assert.ok(Math.abs(token.rawLogprob - rawExpected) < 1e-5);
        assert.ok(Math.abs(token.logprob - (config.temperature === 0 ? rawExpected : Math.log(expected[token.id] ?? 0))) < 1e-9 + 1e-5 * Number(config.temperature === 0));
        assert.equal(token.top.length, 5);
        const best = [...raw.subarray(row * VOCAB, (row + 1) * VOCAB)].sort((a, b) => b - a);
        token.top.forEach((entry, i) => assert.ok(Math.abs(entry.logprob - (best[i] ?? NaN)) < 1e-5 || (entry.logprob === -Infinity && best[i] === -Infinity)));
      }
    }
  }
});

await test('tokens come as often as their probability says', () => {
  const logits = Float32Array.from([1, 2, 0, -Infinity, 3]);
  const options = { temperature: 0.8, topP: 0.95, topK: 4, minP: 0.01 };
  const counts = new Float64Array(5);
  const draws = 20_000;
  for (let i = 0; i < draws; i++) {
    const { id } = sample(logits, options, uniform(1, 0, i), 0);
    counts[id] = (counts[id] ?? 0) + 1 / draws;
  }
  const expected = probabilities(logits, { temperature: 0.8, top_p: 0.95, top_k: 4, min_p: 0.01 });
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
      assert.throws(() => sample(logits, { temperature, topP: 1, topK: 0, minP: 0 }, 0.5, 0), NoDistributionError, `${[...logits].join(' ')} at ${temperature}`);
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
