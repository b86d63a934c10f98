import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leaveOneOutAdvantages } from '../../../trainer/advantage/leave-one-out.ts';
import { assertClose } from '../golden.ts';
import { openAdvantages, sets, tolerance } from './golden.ts';

await test('a rollout is compared with the others of its group, as TRL and verl do', () => {
  using golden = openAdvantages();
  for (const set of sets) {
    assertClose(leaveOneOutAdvantages(golden.calls(set), { groupOfOne: 'credit', normalize: false }), golden.read(`${set}/rloo`), tolerance, set);
    assertClose(leaveOneOutAdvantages(golden.calls(set), { groupOfOne: 'zero', normalize: false }), golden.read(`${set}/rloo.singleton-zero`), tolerance, set);
  }
  assertClose(leaveOneOutAdvantages(golden.calls('even'), { groupOfOne: 'zero', normalize: true }), golden.read('even/rloo.normalized'), tolerance, 'normalized');
});

await test('a rollout\'s own calls are not in its baseline, and equal returns give exactly 0', () => {
  const calls = [1, 1, 1, 0.5].map((credit, i) => ({ taskId: 't', rolloutId: i < 3 ? 'a' : 'b', credit }));
  assert.deepEqual([...leaveOneOutAdvantages(calls, { groupOfOne: 'zero', normalize: false })], [0.5, 0.5, 0.5, -0.5]);
  const equal = Array.from({ length: 7 }, (_, i) => ({ taskId: 't', rolloutId: `r${i}`, credit: 0.7 }));
  assert.ok(leaveOneOutAdvantages(equal, { groupOfOne: 'zero', normalize: true }).every((advantage) => advantage === 0));
});
