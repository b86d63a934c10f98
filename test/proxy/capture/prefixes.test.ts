import assert from 'node:assert/strict';
import { test } from 'node:test';
import { array, assert as check, integer, property } from 'fast-check';
import { PrefixIndex } from '../../../proxy/capture/prefixes.ts';

const ids = (...values: number[]) => Int32Array.from(values);

test('the longest step whose prompt and completion the prompt begins with', () => {
  const index = new PrefixIndex();
  index.add('a', ids(1, 2), ids(3));
  index.add('b', ids(1, 2, 3, 4), ids(5));
  index.add('c', ids(1, 2), ids(9));
  assert.equal(index.longest(ids(1, 2, 3, 4, 5, 6)), 'b');
  assert.equal(index.longest(ids(1, 2, 3, 7)), 'a');
  assert.equal(index.longest(ids(1, 2, 9)), 'c', 'all of the prompt');
  assert.equal(index.longest(ids(1, 2)), null, 'shorter than any');
  assert.equal(index.longest(ids(2, 1, 3)), null, 'order counts');
  assert.equal(index.longest(ids()), null);
});

test('equals the comparison of all ids', () => {
  const sequence = array(integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 12 });
  check(property(array(sequence, { maxLength: 12 }), sequence, (steps, prompt) => {
    const index = new PrefixIndex();
    let expected = 0;
    for (const step of steps) {
      const cut = Math.floor(step.length / 2);
      index.add(step.join(), Int32Array.from(step.slice(0, cut)), Int32Array.from(step.slice(cut)));
      if (step.length <= prompt.length && step.every((id, i) => id === prompt[i])) expected = Math.max(expected, step.length);
    }
    const found = index.longest(Int32Array.from(prompt));
    assert.equal(found, expected === 0 ? null : prompt.slice(0, expected).join());
  }), { numRuns: 500 });
});

test('of too many steps those that nobody has gone on from for longest are forgotten', () => {
  const index = new PrefixIndex();
  for (let i = 0; i < 4096; i++) index.add(`st_${i}`, ids(i), ids());
  assert.equal(index.longest(ids(0, 1)), 'st_0');
  index.add('st_4096', ids(4096), ids());
  assert.deepEqual([0, 1, 2, 4096].map((id) => index.longest(ids(id, 7))), ['st_0', null, 'st_2', 'st_4096']);
});
