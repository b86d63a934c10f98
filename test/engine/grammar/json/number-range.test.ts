import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { integerRange, numberRange } from '../../../../engine/grammar/json/number-range.ts';

const whole = (pattern: string | null) => (text: string) => pattern !== null && new RegExp(`^(?:${pattern})$`).test(text);

test('an integer matches if and only if it is between the bounds', () => {
  const bound = fc.oneof(fc.integer({ min: -1200, max: 1200 }), fc.constantFrom(-Infinity, Infinity, 0, 9, 10, 99, 100));
  fc.assert(fc.property(bound, bound, fc.integer({ min: -1300, max: 1300 }), (from, to, value) => {
    assert.equal(whole(integerRange(from, to))(String(value)), from <= value && value <= to, `${value} in ${from} to ${to}`);
  }), { numRuns: 3000 });
  assert.ok(!whole(integerRange(-5, 5))('-0') && !whole(integerRange(0, 100))('007'));
});

test('a number matches only between the bounds; between whole bounds, every one does', () => {
  const bound = fc.oneof(fc.integer({ min: -30, max: 30 }), fc.double({ min: -30, max: 30, noNaN: true }));
  const tenths = fc.integer({ min: -350, max: 350 }).map((value) => value / 10);
  fc.assert(fc.property(bound, bound, tenths, fc.boolean(), fc.boolean(), (from, to, value, noFrom, noTo) => {
    const isInside = (noFrom ? from < value : from <= value) && (noTo ? value < to : value <= to);
    const matches = whole(numberRange(from, to, { from: noFrom, to: noTo }))(String(value));
    if (Number.isInteger(from) && Number.isInteger(to) && !Object.is(value, -0)) assert.equal(matches, isInside, `${value} in ${from} to ${to}`);
    else if (matches) assert.ok(isInside, `${value} in ${from} to ${to}`);
  }), { numRuns: 3000 });
});
