/** Compared with verl in test/golden/advantages.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { whiten } from '../../../trainer/advantage/whiten.ts';

await test('whitening equal values gives exactly 0', () => {
  assert.deepEqual(whiten([Float64Array.of(0.7, 0.7), Float64Array.of(0.7, 0.7, 0.7)]), [new Float64Array(2), new Float64Array(3)]);
  assert.deepEqual(whiten([Float64Array.of(3)]), [new Float64Array(1)]);
});
