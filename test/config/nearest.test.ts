import assert from 'node:assert/strict';
import { test } from 'node:test';
import { editDistance, nearest } from '../../config/nearest.ts';

test('edit distance counts insertions, deletions, changes and swapped neighbours', () => {
  const table: [string, string, number][] = [['', 'abc', 3], ['abc', 'abc', 0], ['port', 'prot', 1], ['kitten', 'sitting', 3], ['a', '', 1], ['ca', 'abc', 3]];
  for (const [a, b, distance] of table) assert.equal(editDistance(a, b), distance, `${a} ${b}`);
});

test('only a near word is suggested', () => {
  assert.equal(nearest('sever', ['store', 'server']), 'server');
  assert.equal(nearest('maxrows', ['maxRows', 'maxQueue']), 'maxRows');
  assert.equal(nearest('zzzz', ['server', 'store']), undefined);
});
