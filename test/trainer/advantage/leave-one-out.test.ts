/** Compared with TRL and verl in test/golden/advantages.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leaveOneOutAdvantages } from '../../../trainer/advantage/leave-one-out.ts';

await test('a rollout\'s own calls are not in its baseline, and equal returns give exactly 0', () => {
  const calls = [1, 1, 1, 0.5].map((credit, i) => ({ taskId: 't', rolloutId: i < 3 ? 'a' : 'b', credit }));
  assert.deepEqual([...leaveOneOutAdvantages(calls, { groupOfOne: 'zero', normalize: false })], [0.5, 0.5, 0.5, -0.5]);
  const equal = Array.from({ length: 7 }, (_, i) => ({ taskId: 't', rolloutId: `r${i}`, credit: 0.7 }));
  assert.ok(leaveOneOutAdvantages(equal, { groupOfOne: 'zero', normalize: true }).every((advantage) => advantage === 0));
});
