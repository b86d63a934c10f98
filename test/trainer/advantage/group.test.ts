import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CreditedCall, groupAdvantages, type GroupOptions } from '../../../trainer/advantage/group.ts';
import { assertClose, goldenText } from '../golden.ts';
import { openAdvantages, sets, tolerance } from './golden.ts';

const options: GroupOptions = { unit: 'calls', scale: 'group', epsilon: 1e-6, groupOfOne: 'zero' };

const variants: readonly [name: string, change: Partial<GroupOptions>][] = [
  ['grpo.eps1e-6', { groupOfOne: 'credit' }],
  ['grpo.nostd', { groupOfOne: 'credit', scale: 'none' }],
  ['grpo.eps1e-4.singleton-zero', { epsilon: 1e-4 }],
  ['grpo.nostd.singleton-zero', { scale: 'none' }],
  ['grpo.batchstd.eps1e-4', { scale: 'batch', epsilon: 1e-4 }],
  ['grpo.std-ddof0.eps1e-6', { scale: 'population', groupOfOne: 'credit' }],
];
for (const [name, change] of variants) {
  await test(`${name} as TRL and verl compute it`, () => {
    using golden = openAdvantages();
    for (const set of sets) {
      for (const unit of ['calls', 'rollouts'] as const) assertClose(groupAdvantages(golden.calls(set), { ...options, ...change, unit }), golden.read(`${set}/${name}`), tolerance, `${set} ${unit}`);
    }
  });
}

interface Credit {
  readonly tasks: readonly { readonly rollouts: readonly { readonly rollout_id: string; readonly reward: number }[] }[];
  readonly calls: readonly { readonly task_id: string; readonly rollout_id: string }[];
  readonly expected_per_call: Readonly<Record<string, readonly number[]>>;
}

await test('many calls a rollout: over calls as verl, over rollouts as Agent Lightning', () => {
  const golden: Credit = JSON.parse(goldenText('credit/credit.json'));
  const rewards = new Map(golden.tasks.flatMap((task) => task.rollouts).map((rollout) => [rollout.rollout_id, rollout.reward]));
  const calls: CreditedCall[] = golden.calls.map((call) => ({ taskId: call.task_id, rolloutId: call.rollout_id, credit: rewards.get(call.rollout_id) ?? NaN }));
  for (const [unit, name] of [['calls', 'sample_level'], ['rollouts', 'rollout_level']] as const) {
    for (const [scale, suffix] of [['group', 'std.eps1e-6'], ['none', 'nostd']] as const) {
      assertClose(groupAdvantages(calls, { ...options, unit, scale, groupOfOne: 'credit' }), golden.expected_per_call[`${name}.${suffix}`] ?? [], tolerance, `${name}.${suffix}`);
    }
  }
});

await test('a group without variance gets exactly 0, whatever its value', () => {
  const calls = Array.from({ length: 7 }, (_, i) => ({ taskId: 't', rolloutId: `r${i}`, credit: 0.7 }));
  for (const scale of ['group', 'population', 'batch', 'none'] as const) assert.deepEqual([...groupAdvantages(calls, { ...options, scale })], [0, 0, 0, 0, 0, 0, 0]);
});
