import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PolicyTerm } from '../../trainer/loss/policy-term.ts';
import { TokenStatistics } from '../../trainer/token-statistics.ts';

const clip: PolicyTerm = { type: 'clip', ratio: { old: 'given', level: 'token' }, clipLow: 0.2, clipHigh: 0.3 };
const call = (ratios: readonly number[], advantages: readonly number[]) => {
  const oldLogprobs = ratios.map(() => -1);
  return { logprobs: ratios.map((ratio) => -1 + Math.log(ratio)), oldLogprobs, behaviourLogprobs: oldLogprobs, advantages, entropy: ratios.map((_, t) => t) };
};

await test('counts what the clip cuts off: a ratio too high for a good token, too low for a bad one', () => {
  const statistics = new TokenStatistics(clip);
  statistics.addCall(call([1, 1.4, 1.4], [1, 1, -1]));
  statistics.addCall(call([0.7, 0.7], [1, -1]));
  assert.equal(statistics.tokens, 5);
  assert.ok(Math.abs(statistics.ratioMean - (1 + 1.4 + 1.4 + 0.7 + 0.7) / 5) < 1e-12);
  assert.ok(Math.abs(statistics.ratioMax - 1.4) < 1e-12);
  assert.equal(statistics.clipFraction, 2 / 5);
  assert.equal(statistics.entropy, (0 + 1 + 2 + 0 + 1) / 5);
  const k3 = (ratio: number): number => ratio - 1 - Math.log(ratio);
  assert.ok(Math.abs(statistics.klFromBehaviour - (2 * k3(1.4) + 2 * k3(0.7)) / 5) < 1e-12);
});

await test('a sequence-level ratio is one for the whole call', () => {
  const statistics = new TokenStatistics({ ...clip, ratio: { old: 'given', level: 'sequence' } });
  statistics.addCall(call([2, 0.5], [1, 1]));
  assert.ok(Math.abs(statistics.ratioMax - 1) < 1e-12);
  assert.equal(statistics.clipFraction, 0);
  const sum = new TokenStatistics({ ...clip, ratio: { old: 'given', level: 'sequence-sum' } });
  sum.addCall(call([1.2, 1.2], [1, 1]));
  assert.ok(Math.abs(sum.ratioMean - 1.44) < 1e-12);
  assert.equal(sum.clipFraction, 1);
});

await test('CISPO bounds whatever the advantage, and REINFORCE nothing', () => {
  const bounded = (term: PolicyTerm): number => {
    const statistics = new TokenStatistics(term);
    statistics.addCall(call([6, 6, 0.1], [1, -1, 1]));
    return statistics.clipFraction;
  };
  assert.equal(bounded({ type: 'cispo', ratio: { old: 'given', level: 'token' }, ratioMax: 5 }), 2 / 3);
  assert.equal(bounded({ type: 'reinforce' }), 0);
});

await test('ratios are against the policy at the start of the round, the KL against those that sampled', () => {
  const statistics = new TokenStatistics(clip);
  statistics.addCall({ logprobs: [-1], oldLogprobs: [-1], behaviourLogprobs: [-2], advantages: [1], entropy: [0] });
  assert.equal(statistics.ratioMean, 1);
  assert.ok(Math.abs(statistics.klFromBehaviour - (Math.E - 2)) < 1e-12);
  assert.equal(new TokenStatistics(null).klFromBehaviour, 0);
});
