import assert from 'node:assert/strict';
import { test } from 'node:test';
import { identicalCredit, rolloutReturn } from '../../../trainer/credit/identical.ts';
import { assertClose, goldenText } from '../golden.ts';

interface Credit {
  readonly tasks: readonly { readonly rollouts: readonly { readonly rollout_id: string; readonly reward: number }[] }[];
  readonly calls: readonly { readonly rollout_id: string }[];
  readonly expected_per_call: Readonly<Record<string, readonly number[]>>;
}

await test('each call gets its rollout\'s return (golden)', () => {
  const golden: Credit = JSON.parse(goldenText('credit/credit.json'));
  const rollouts = golden.tasks.flatMap((task) => task.rollouts).map((rollout) => ({ rolloutId: rollout.rollout_id, outcomeRewards: [rollout.reward] }));
  const credit = identicalCredit(golden.calls.map((call) => ({ rolloutId: call.rollout_id })), rollouts);
  assertClose(credit, golden.expected_per_call['identical_credit.reward'] ?? [], {}, 'credit');
});

await test('the return is the sum of the outcome rewards', () => {
  assert.equal(rolloutReturn({ rolloutId: 'a', outcomeRewards: [1, 0.25, -0.5] }), 0.75);
  assert.equal(rolloutReturn({ rolloutId: 'a', outcomeRewards: [] }), 0);
});

await test('a call without a rollout is refused', () => {
  assert.throws(() => identicalCredit([{ rolloutId: 'ro_lost' }], []), /ro_lost/);
});
