import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import type { Aggregation } from '../../../trainer/loss/aggregation.ts';
import type { PolicyLossSpec } from '../../../trainer/loss/spec.ts';
import { type LossSequence, weighTokens } from '../../../trainer/loss/weigh-tokens.ts';

/** A sequence whose tokens have these log π_old − log π_behaviour. */
const sequence = (logRatios: readonly number[], truncated = false, rolloutId = 'r'): LossSequence => ({
  rolloutId, truncated, tokens: logRatios.length, oldLogprobs: logRatios.map((x) => x - 1), behaviourLogprobs: logRatios.map(() => -1),
});
const tokenMean: PolicyLossSpec = { policy: { type: 'reinforce' }, aggregation: { mode: 'token-mean' } };
const lists = (weights: readonly Float64Array[]): number[][] => weights.map((list) => [...list]);
const weightsOf = (spec: PolicyLossSpec, sequences: readonly LossSequence[]): number[][] => lists(weighTokens(spec, sequences).map(({ weight }) => weight));
const importanceOf = (importance: PolicyLossSpec['importance'], ...logRatios: readonly number[][]): number[][] =>
  lists(weighTokens({ ...tokenMean, ...(importance ? { importance } : {}) }, logRatios.map((tokens) => sequence(tokens))).map(({ importanceWeight }) => importanceWeight));

describe('which tokens count', () => {
  test('truncated sequences can be dropped, and are counted where all sequences are', () => {
    const both = [sequence([0, 0]), sequence([0, 0], true)];
    assert.deepEqual(weightsOf(tokenMean, both), [[1 / 4, 1 / 4], [1 / 4, 1 / 4]]);
    assert.deepEqual(weightsOf({ ...tokenMean, dropTruncated: true }, both), [[1 / 2, 1 / 2], [0, 0]]);
    assert.deepEqual(weightsOf({ ...tokenMean, dropTruncated: true, aggregation: { mode: 'seq-mean-token-mean', sequences: 'all' } }, both), [[1 / 4, 1 / 4], [0, 0]]);
  });
  test('rejected tokens leave the denominators', () => {
    const spec: PolicyLossSpec = { ...tokenMean, rejection: { level: 'token', statistic: 'k1', min: 0.5, max: 2 } };
    assert.deepEqual(weightsOf(spec, [sequence([0, 1, -1]), sequence([0.5])]), [[1 / 2, 0, 0], [1 / 2]]);
  });
  test('a whole sequence is rejected by its sum, mean or maximum', () => {
    const rejected = (level: 'sequence-sum' | 'sequence-mean' | 'sequence-max', max: number): boolean => weightsOf({ ...tokenMean, rejection: { level, statistic: 'k2', max } }, [sequence([0, 2])])[0]?.[0] === 0;
    for (const [level, statistic] of [['sequence-sum', 2], ['sequence-mean', 1], ['sequence-max', 2]] as const) {
      assert.equal(rejected(level, statistic), false);
      assert.equal(rejected(level, statistic - 0.01), true);
    }
  });
  test('when nothing is left all weights are 0', () => {
    const spec: PolicyLossSpec = { ...tokenMean, rejection: { level: 'token', statistic: 'k2', max: 0.01 } };
    assert.deepEqual(weightsOf(spec, [sequence([3, -3])]), [[0, 0]]);
  });
});

describe('importance weights', () => {
  test('truncate to a bound, or mask what is outside', () => {
    assert.deepEqual(importanceOf({ level: 'token', mode: 'truncate', max: 2 }, [0, 1, -9]), [[1, 2, Math.exp(-9)]]);
    assert.deepEqual(importanceOf({ level: 'token', mode: 'truncate', max: 2, min: 0.5 }, [0, 1, -9]), [[1, 2, 0.5]]);
    assert.deepEqual(importanceOf({ level: 'token', mode: 'mask', max: 2, min: 0.5 }, [0, 1, -9]), [[1, 0, 0]]);
  });
  test('masked tokens stay in the denominators', () => {
    assert.deepEqual(weightsOf({ ...tokenMean, importance: { level: 'token', mode: 'mask', max: 2 } }, [sequence([0, 5])]), [[1 / 2, 1 / 2]]);
  });
  test('a sequence has one, and a long one does not overflow', () => {
    assert.deepEqual(importanceOf({ level: 'sequence', mode: 'truncate', max: 2 }, Array<number>(1000).fill(1)), [Array<number>(1000).fill(2)]);
    assert.deepEqual(importanceOf({ level: 'sequence', mode: 'mask', max: 2, min: 0.5 }, [1, -1], [1, 1]), [[1, 1], [0, 0]]);
  });
  test('normalized they have mean 1 over tokens, or over sequences', () => {
    const tokens = importanceOf({ level: 'token', mode: 'truncate', max: 2, normalize: true }, [0.3, -0.2], [1]).flat();
    assert.ok(Math.abs(tokens.reduce((a, b) => a + b, 0) / 3 - 1) < 1e-12);
    const [first = [], second = []] = importanceOf({ level: 'sequence', mode: 'truncate', max: 2, normalize: true }, [0.3, -0.2], [1]);
    assert.ok(Math.abs(((first[0] ?? 0) + (second[0] ?? 0)) / 2 - 1) < 1e-12);
  });
  test('all of them 0 stay 0 when normalized', () => {
    assert.deepEqual(importanceOf({ level: 'token', mode: 'mask', max: 2, normalize: true }, [5]), [[0]]);
  });
  test('are 1 without a correction', () => assert.deepEqual(importanceOf(undefined, [3, -3]), [[1, 1]]));
});

const means: Aggregation[] = [
  { mode: 'token-mean' }, { mode: 'seq-mean-token-mean', sequences: 'nonempty' }, { mode: 'per-rollout-mean', denominator: 'rollouts' },
];
await test('the weights of a mean sum to 1 as long as a token counts', () => {
  const sequences = fc.array(fc.record({ logRatios: fc.array(fc.double({ min: -3, max: 3, noNaN: true }), { maxLength: 5 }), truncated: fc.boolean(), rolloutId: fc.constantFrom('a', 'b', 'c') }), { maxLength: 8 });
  fc.assert(fc.property(sequences, fc.constantFrom(...means), fc.boolean(), (all, aggregation, rejects) => {
    const spec: PolicyLossSpec = { ...tokenMean, aggregation, dropTruncated: true, ...(rejects ? { rejection: { level: 'token', statistic: 'k3', max: 0.5 } } : {}) };
    const weights = weightsOf(spec, all.map(({ logRatios, truncated, rolloutId }) => sequence(logRatios, truncated, rolloutId))).flat();
    const sum = weights.reduce((a, b) => a + b, 0);
    assert.ok(weights.every((weight) => weight >= 0));
    assert.ok(weights.every((weight) => weight === 0) ? sum === 0 : Math.abs(sum - 1) < 1e-12);
  }));
});
