/** Every scale and unit is compared with TRL, verl and Agent Lightning in test/golden (advantages.ts, credit.ts). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { groupAdvantages, type GroupOptions } from '../../../trainer/advantage/group.ts';

const options: GroupOptions = { unit: 'calls', scale: 'group', epsilon: 1e-6, groupOfOne: 'zero' };

await test('a group without variance gets exactly 0, whatever its value', () => {
  const calls = Array.from({ length: 7 }, (_, i) => ({ taskId: 't', rolloutId: `r${i}`, credit: 0.7 }));
  for (const scale of ['group', 'population', 'batch', 'none'] as const) assert.deepEqual([...groupAdvantages(calls, { ...options, scale })], [0, 0, 0, 0, 0, 0, 0]);
});
