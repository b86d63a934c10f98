import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSafetensors } from '../../../model/weights/safetensors.ts';
import { type CreditedCall, grpoAdvantages, type GrpoOptions } from '../../../trainer/advantage/grpo.ts';
import { assertClose, goldenText, goldenPath } from '../golden.ts';

const tolerance = { relative: 1e-5, absolute: 1e-6 };
const options: GrpoOptions = { group: 'calls', normalizeByStd: true, epsilon: 1e-6 };

await test('one call a rollout: equal to the stored advantages, groups of one get 0', () => {
  const golden = readSafetensors(goldenPath('advantages/advantages.safetensors'));
  for (const set of ['even', 'odd']) {
    const groups = golden.readInts(`${set}/group_id`);
    const calls = Array.from(golden.read(`${set}/rewards`).data, (credit, i) => ({ taskId: String(groups[i]), rolloutId: `r${i}`, credit }));
    for (const group of ['calls', 'rollouts'] as const) {
      assertClose(grpoAdvantages(calls, { ...options, group, epsilon: 1e-4 }), golden.read(`${set}/grpo.eps1e-4.singleton-zero`).data, tolerance, `${set} std`);
      assertClose(grpoAdvantages(calls, { ...options, group, normalizeByStd: false }), golden.read(`${set}/grpo.nostd.singleton-zero`).data, tolerance, `${set} nostd`);
    }
  }
  assertClose(evenAdvantages(golden), golden.read('even/grpo.eps1e-6').data, tolerance, 'even eps 1e-6');
  golden.close();
});

function evenAdvantages(golden: ReturnType<typeof readSafetensors>): Float64Array {
  const groups = golden.readInts('even/group_id');
  return grpoAdvantages(Array.from(golden.read('even/rewards').data, (credit, i) => ({ taskId: String(groups[i]), rolloutId: `r${i}`, credit })), options);
}

interface Credit {
  readonly tasks: readonly { readonly task_id: string; readonly rollouts: readonly { readonly rollout_id: string; readonly reward: number }[] }[];
  readonly calls: readonly { readonly task_id: string; readonly rollout_id: string }[];
  readonly expected_per_call: Readonly<Record<string, readonly number[]>>;
}

await test('many calls a rollout: over calls as verl, over rollouts as Agent Lightning', () => {
  const golden: Credit = JSON.parse(goldenText('credit/credit.json'));
  const rewards = new Map(golden.tasks.flatMap((task) => task.rollouts).map((rollout) => [rollout.rollout_id, rollout.reward]));
  const calls: CreditedCall[] = golden.calls.map((call) => ({ taskId: call.task_id, rolloutId: call.rollout_id, credit: rewards.get(call.rollout_id) ?? NaN }));
  // The last task is a group of one call, which verl gives its raw reward; here it is 0.
  const lonely = golden.tasks.findLast((task) => task.rollouts.length === 1)?.task_id;
  for (const [group, name] of [['calls', 'sample_level'], ['rollouts', 'rollout_level']] as const) {
    for (const [normalizeByStd, suffix] of [[true, 'std.eps1e-6'], [false, 'nostd']] as const) {
      const expected = (golden.expected_per_call[`${name}.${suffix}`] ?? []).map((value, i) => (calls[i]?.taskId === lonely ? 0 : value));
      assertClose(grpoAdvantages(calls, { group, normalizeByStd, epsilon: 1e-6 }), expected, tolerance, `${name}.${suffix}`);
    }
  }
});

await test('a group without variance gets exactly 0, whatever its value', () => {
  const calls = Array.from({ length: 7 }, (_, i) => ({ taskId: 't', rolloutId: `r${i}`, credit: 0.7 }));
  assert.deepEqual([...grpoAdvantages(calls, options)], [0, 0, 0, 0, 0, 0, 0]);
});
