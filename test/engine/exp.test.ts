import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expOfNonPositive } from '../../engine/exp.ts';
import { seededRandom } from '../../trainer/random.ts';

await test('as Math.exp, to a few units in the last place', () => {
  const random = seededRandom(3);
  assert.equal(expOfNonPositive(0), 1);
  assert.equal(expOfNonPositive(-0), 1);
  for (let i = 0; i < 200_000; i++) {
    const x = -(708 * random() ** (1 + 8 * random()));
    const exact = Math.exp(x);
    assert.ok(Math.abs(expOfNonPositive(x) - exact) <= 1e-15 * exact, `e^${x}`);
  }
});

await test('what is banned has no weight, and what is no number stays none', () => {
  assert.equal(expOfNonPositive(-Infinity), 0);
  assert.equal(expOfNonPositive(-1e5), 0);
  assert.ok(Number.isNaN(expOfNonPositive(NaN)));
});
