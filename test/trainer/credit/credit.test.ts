import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generalizedAdvantages } from '../../../trainer/advantage/returns.ts';
import { type GivenReward, layRewards } from '../../../trainer/credit/call-rewards.ts';
import { discountedCredit } from '../../../trainer/credit/discounted.ts';
import { identicalCredit } from '../../../trainer/credit/identical.ts';
import { overlongPunishment } from '../../../trainer/credit/overlong.ts';
import { rewardsToGo } from '../../../trainer/credit/to-go.ts';
import { assertClose, goldenText } from '../golden.ts';

interface Rollout {
  readonly rollout_id: string;
  readonly reward: number;
  readonly truncated: boolean;
  readonly bootstrap_value: number;
  readonly calls: readonly { readonly step_reward: number | null; readonly value: number }[];
}
interface Credit {
  readonly tasks: readonly { readonly rollouts: readonly Rollout[] }[];
  readonly expected_per_call: Readonly<Record<string, readonly number[]>>;
  readonly expected_steps: Readonly<Record<string, readonly { readonly discounted_returns: readonly number[]; readonly gae: readonly number[]; readonly value_targets: readonly number[] }[]>>;
}
const golden: Credit = JSON.parse(goldenText('credit/credit.json'));
const rollouts = golden.tasks.flatMap((task) => task.rollouts);
const tolerance = { relative: 1e-5, absolute: 1e-6 };
const sequences = (rollout: Rollout): number[] => [...rollout.calls.keys()];

const atEnd = (rollout: Rollout): GivenReward[] => [{ value: rollout.reward, kind: 'outcome', sequence: null }];
const byCall = (rollout: Rollout): GivenReward[] => rollout.calls.flatMap((call, sequence) => (call.step_reward === null ? [] : [{ value: call.step_reward, kind: 'intermediate' as const, sequence }]));

await test('identical: each call gets its rollout\'s return', () => {
  const credit = rollouts.flatMap((rollout) => [...identicalCredit(layRewards(sequences(rollout), atEnd(rollout)))]);
  assertClose(credit, golden.expected_per_call['identical_credit.reward'] ?? [], {}, 'credit');
});

for (const [name, expected] of Object.entries(golden.expected_steps)) {
  await test(`over the calls of a rollout: ${name}`, () => {
    const [, source, gamma, lambda] = /^(step|final)\.g(.+)\.l(.+)$/.exec(name) ?? assert.fail(name);
    for (const [i, rollout] of rollouts.entries()) {
      const laid = layRewards(sequences(rollout), source === 'final' ? atEnd(rollout) : byCall(rollout));
      const credit = source === 'final' ? discountedCredit(laid, Number(gamma)) : rewardsToGo(laid, Number(gamma));
      assertClose(credit, expected[i]?.discounted_returns ?? [], tolerance, `${rollout.rollout_id} returns`);
      const options = { gamma: Number(gamma), lambda: Number(lambda), bootstrap: rollout.truncated ? rollout.bootstrap_value : 0 };
      const { advantages, returns } = generalizedAdvantages(laid.callRewards, rollout.calls.map((call) => call.value), options);
      assertClose(advantages, expected[i]?.gae ?? [], tolerance, `${rollout.rollout_id} advantages`);
      assertClose(returns, expected[i]?.value_targets ?? [], tolerance, `${rollout.rollout_id} value targets`);
    }
  });
}

await test('rewards are laid on the calls that are trained on', () => {
  const rewards: GivenReward[] = [
    { value: 1, kind: 'outcome', sequence: null },
    { value: 0.25, kind: 'outcome', sequence: 2 },
    { value: 8, kind: 'intermediate', sequence: 4 },
    { value: 64, kind: 'intermediate', sequence: 0 },
  ];
  // Calls 1, 2 and 5 are the agent's own: what call 4 of another agent earned, call 2 had led to; call 0 came before them all.
  assert.deepEqual(layRewards([1, 2, 5], rewards), { outcome: 1.25, callRewards: Float64Array.of(0, 8.25, 1) });
  assert.deepEqual(layRewards([], rewards), { outcome: 1.25, callRewards: new Float64Array(0) });
  assert.deepEqual([...rewardsToGo(layRewards([1, 2, 5], rewards), 0)], [0, 8.25, 1]);
});

interface Overlong { readonly overlong: { readonly max_len: number; readonly cache: number; readonly lengths: readonly number[]; readonly paper_and_trl: readonly number[]; readonly verl: readonly number[] } }

await test('soft overlong punishment, as the paper and TRL have it and as verl goes on', () => {
  const { entries: { overlong } }: { entries: Overlong } = JSON.parse(goldenText('advantages/advantages.json'));
  const options = { maxTokens: overlong.max_len, cacheTokens: overlong.cache };
  assertClose(overlong.lengths.map((tokens) => overlongPunishment(tokens, { ...options, beyond: 'floor' })), overlong.paper_and_trl, tolerance, 'paper');
  assertClose(overlong.lengths.map((tokens) => overlongPunishment(tokens, { ...options, beyond: 'slope' })), overlong.verl, tolerance, 'verl');
});
