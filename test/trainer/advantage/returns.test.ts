import assert from 'node:assert/strict';
import { test } from 'node:test';
import { discountedReturns, generalizedAdvantages } from '../../../trainer/advantage/returns.ts';
import { withKlCost } from '../../../trainer/advantage/token-rewards.ts';
import { whiten } from '../../../trainer/advantage/whiten.ts';
import { groupAdvantages } from '../../../trainer/advantage/group.ts';
import { assertClose } from '../golden.ts';
import { openAdvantages, sets, tolerance } from './golden.ts';

const flat = (rows: readonly ArrayLike<number>[]): number[] => rows.flatMap((row) => Array.from(row));

await test('generalized advantages and their returns, raw and whitened', () => {
  using golden = openAdvantages();
  for (const set of sets) {
    const [rewards, values] = [golden.tokens(set, 'token_rewards'), golden.tokens(set, 'values')];
    for (const [gamma, lambda] of [[1, 0.95], [0.97, 0.9], [1, 1], [0.9, 0]] as const) {
      const name = `gae.g${gamma.toFixed(gamma === 0.97 ? 2 : 1)}.l${lambda.toFixed(lambda === 0.95 ? 2 : 1)}`;
      const computed = rewards.map((row, b) => generalizedAdvantages(row, values[b] ?? [], { gamma, lambda }));
      assertClose(flat(computed.map((row) => row.advantages)), flat(golden.tokens(set, `${name}.raw`)), tolerance, `${set} ${name}`);
      assertClose(flat(computed.map((row) => row.returns)), flat(golden.tokens(set, `${name}.returns`)), tolerance, `${set} ${name} returns`);
      assertClose(flat(whiten(computed.map((row) => row.advantages))), flat(golden.tokens(set, `${name}.whitened`)), tolerance, `${set} ${name} whitened`);
    }
  }
});

await test('REINFORCE++: discounted returns, whitened; its baseline variant', () => {
  using golden = openAdvantages();
  for (const set of sets) {
    for (const [gamma, name] of [[1, 'reinforce_pp.g1.0'], [0.9, 'reinforce_pp.g0.9']] as const) {
      const returns = golden.tokens(set, 'token_rewards').map((row) => discountedReturns(row, gamma));
      assertClose(flat(returns), flat(golden.tokens(set, `${name}.returns`)), tolerance, `${set} ${name} returns`);
      assertClose(flat(whiten(returns)), flat(golden.tokens(set, `${name}.advantages`)), tolerance, `${set} ${name}`);
    }
    const centred = groupAdvantages(golden.calls(set), { unit: 'calls', scale: 'none', epsilon: 0, groupOfOne: 'credit' });
    const rows = golden.tokens(set, 'mask').map((row, b) => row.fill(centred[b] ?? NaN));
    assertClose(flat(whiten(rows)), flat(golden.tokens(set, 'reinforce_pp_baseline.advantages')), tolerance, `${set} baseline`);
  }
});

await test('returns that count every position as a time step', () => {
  using golden = openAdvantages();
  for (const set of sets) {
    const mask = golden.read(`${set}/mask`);
    const rewards = golden.read(`${set}/token_rewards`).map((reward, i) => reward * (mask[i] ?? NaN));
    const time = rewards.length / golden.calls(set).length;
    const returns = golden.calls(set).map((_, b) => discountedReturns(rewards.subarray(b * time, (b + 1) * time), 0.95));
    assertClose(flat(returns), golden.read(`${set}/discounted_returns.g0.95.every_position`), tolerance, set);
  }
});

await test('the KL to the reference as a cost of each token', () => {
  using golden = openAdvantages();
  const rewards = withKlCost(Float64Array.from(golden.read('kl_reward/scores')), golden.read('kl_reward/logp_old'), golden.read('kl_reward/logp_ref'), 0.05);
  assertClose(rewards, golden.read('kl_reward/token_rewards.beta0.05'), tolerance, 'token rewards');
});

await test('whitening equal values gives exactly 0', () => {
  assert.deepEqual(whiten([Float64Array.of(0.7, 0.7), Float64Array.of(0.7, 0.7, 0.7)]), [new Float64Array(2), new Float64Array(3)]);
  assert.deepEqual(whiten([Float64Array.of(3)]), [new Float64Array(1)]);
});
