import assert from 'node:assert/strict';
import { it } from 'node:test';
import * as fc from 'fast-check';
import { newId } from '../../store/ids.ts';

it('ids have their prefix and 24 characters, and sort by time', () => {
  fc.assert(fc.property(fc.nat(2 ** 45), fc.integer({ min: 1, max: 2 ** 40 }), (at, later) => {
    assert.match(newId('st', at), /^st_[0-9a-hjkmnp-tv-z]{24}$/);
    assert.ok(newId('st', at) < newId('st', at + later));
  }));
});

it('ids of one millisecond differ', () => {
  assert.equal(new Set(Array.from({ length: 10_000 }, () => newId('ca', 1))).size, 10_000);
});
