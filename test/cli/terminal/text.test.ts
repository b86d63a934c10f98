import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lineChart } from '../../../cli/terminal/chart.ts';
import { cell, textTable } from '../../../cli/terminal/table.ts';

test('numbers are short, and dashes where there are none', () => {
  assert.deepEqual([0.5, 0, 1e-5, Number.NaN, null, undefined, 12.3456].map((value) => cell(value)), ['0.500', '0.000', '1.0e-5', '–', '–', '–', '12.346']);
  assert.equal(cell(3, 0), '3');
});

test('a table lines its columns up', () => {
  assert.deepEqual(textTable(['round', 'val'], [['1', '0.5'], ['10', '12.25']]).split('\n').map((line) => line.trimEnd()), ['round    val', '1        0.5', '10     12.25']);
});

test('a chart spans 0 to 1 and shows where a series ends; one point is no line', () => {
  const lines = lineChart([0, 0.5, 1]).split('\n');
  assert.match(lines[0] ?? '', /^ {2}1\.00 .*[─╭]/);
  assert.match(lines.at(-1) ?? '', /^ {2}0\.00 ┼─/);
  assert.equal(lineChart([1]), '');
});
