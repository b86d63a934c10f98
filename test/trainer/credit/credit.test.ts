/** Credit, returns along calls and the overlong punishment are compared with stored ones in test/golden (credit.ts, advantages.ts). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type GivenReward, layRewards } from '../../../trainer/credit/call-rewards.ts';
import { rewardsToGo } from '../../../trainer/credit/to-go.ts';

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
