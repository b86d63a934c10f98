import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { takeDistinct, taskOrder } from '../../../cli/train/sample.ts';

const tasksOf = (n: number) => Array.from({ length: n }, (_, i) => ({ id: `t${i}`, input: i }));

test('the same seed takes the same tasks, another seed others', () => {
  const take = (seed: number) => {
    const order = taskOrder(tasksOf(50), seed);
    return Array.from({ length: 3 }, () => takeDistinct(order, 20).map(({ id }) => id));
  };
  assert.deepEqual(take(1), take(1));
  assert.notDeepEqual(take(1), take(2));
});

test('a round never has a task twice, and whole passes have all', () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 12 }), fc.nat(), (n, wanted, seed) => {
    const count = Math.min(n, wanted);
    const order = taskOrder(tasksOf(n), seed);
    const rounds = Array.from({ length: 2 * n }, () => takeDistinct(order, count));
    for (const round of rounds) assert.equal(new Set(round.map(({ id }) => id)).size, count);
    assert.equal(new Set(rounds.flat().map(({ id }) => id)).size, n);
  }));
});
