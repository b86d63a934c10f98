/** What the algorithm files make of their parts; the parts themselves are checked against the reference numbers beside them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { algorithmOf, type Call } from '../../../trainer/algorithms/index.ts';
import { trainerConfig } from '../world.ts';

const advantages = (config: Record<string, unknown>, calls: readonly Call[]): number[][] => algorithmOf(trainerConfig(config)).advantages(calls).map((call) => [...call.advantages]);
const call = (rolloutId: string, credit: number, change: Partial<Call> = {}): Call => ({ taskId: 't', rolloutId, credit, tokens: 2, oldLogprobs: [-1, -1], ...change });
const near = (actual: readonly number[][], expected: readonly number[][]): void => {
  actual.forEach((row, i) => { row.forEach((value, t) => { assert.ok(Math.abs(value - (expected[i]?.[t] ?? NaN)) < 1e-9, `[${i}][${t}] is ${value}, not ${expected[i]?.[t]}`); }); });
};

await test('RLOO: a rollout pays for the KL of all of its calls', () => {
  const calls = [call('a', 1, { referenceLogprobs: [-1, -2] }), call('a', 1, { referenceLogprobs: [-1, -1] }), call('b', 0, { referenceLogprobs: [-1, -1] })];
  near(advantages({ algorithm: { name: 'rloo', klCost: 0.5 } }, calls), [[0.5, 0.5], [0.5, 0.5], [-0.5, -0.5]]);
});

await test('REINFORCE++: each token pays for its own KL, and all that follows', () => {
  const calls = [call('a', 1, { referenceLogprobs: [-1.5, -1] }), call('b', -1, { referenceLogprobs: [-1, -1] })];
  // Returns 0.5, 1 and −1, −1, whitened.
  const deviation = Math.sqrt((0.625 ** 2 + 1.125 ** 2 + 2 * 0.875 ** 2) / 3 + 1e-8);
  near(advantages({ algorithm: { name: 'reinforce-pp', klCost: 1 } }, calls), [[0.625 / deviation, 1.125 / deviation], [-0.875 / deviation, -0.875 / deviation]]);
});

await test('PPO: generalized advantages over a call\'s tokens; by turn values its credit is the λ-return over the calls', () => {
  const calls = [call('a', 0.25, { values: [0.5, 0.75] }), call('a', 1, { values: [0.2, 0.4] })];
  const ppo = { name: 'ppo', lambda: 1, whiten: false };
  near(advantages({ algorithm: ppo }, calls), [[-0.25, -0.5], [0.8, 0.6]]);
  // The second call returns 1, the first 0.25 + 0.5·(½·V(second) + ½·1) = 0.55.
  near(advantages({ algorithm: ppo, credit: { name: 'turn-values', gamma: 0.5, lambda: 0.5 } }, calls), [[0.05, -0.2], [0.8, 0.6]]);
});

await test('DAPO: the longer of two equal answers loses by its length', () => {
  const calls = [call('a', 1, { tokens: 3 }), call('b', 1, { tokens: 1 })];
  near(advantages({ algorithm: { name: 'dapo', normalizeByStd: false } }, calls), [[0, 0, 0], [0]]);
  near(advantages({ algorithm: { name: 'dapo', normalizeByStd: false, overlong: { maxTokens: 4, cacheTokens: 2 } } }, calls), [[-0.25, -0.25, -0.25], [0.25]]);
});

await test('each algorithm has its paper\'s loss by default', () => {
  const loss = (name: string) => algorithmOf(trainerConfig({ algorithm: { name } })).loss;
  const token = { old: 'given', level: 'token', logClamp: 20 };
  const clipped = (clipLow: number, clipHigh: number, ratio: object = token) => ({ type: 'clip', ratio, clipLow, clipHigh });
  const sequences = { sequences: 'nonempty' };
  assert.deepEqual(loss('grpo'), { policy: clipped(0.2, 0.2), aggregation: { mode: 'per-rollout-mean', denominator: 'rollouts' } });
  assert.deepEqual(loss('dr-grpo'), { policy: clipped(0.2, 0.2), aggregation: { mode: 'seq-mean-token-sum', ...sequences } });
  assert.deepEqual(loss('dapo'), { policy: clipped(0.2, 0.28), aggregation: { mode: 'token-mean' } });
  assert.deepEqual(loss('gspo'), { policy: clipped(3e-4, 4e-4, { ...token, level: 'sequence' }), aggregation: { mode: 'seq-mean-token-mean', ...sequences } });
  assert.deepEqual(loss('cispo'), { policy: { type: 'cispo', ratio: token, ratioMax: 5 }, aggregation: { mode: 'token-mean' } });
  assert.deepEqual(loss('ppo'), { policy: clipped(0.2, 0.2), aggregation: { mode: 'token-mean' }, value: { coefficient: 1 } });
  assert.deepEqual(loss('rloo'), { policy: { type: 'reinforce' }, aggregation: { mode: 'seq-mean-token-sum', ...sequences } });
  for (const name of ['reinforce-pp', 'reinforce-pp-baseline']) assert.deepEqual(loss(name), { policy: clipped(0.2, 0.2), aggregation: { mode: 'token-mean' } });
});
