import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assert as check, double, integer, property } from 'fast-check';
import { Pace } from '../../engine/pace.ts';

await test('pieces become as long as the time allows, whatever reading costs', () => {
  check(property(double({ min: 0.01, max: 20, noNaN: true }), integer({ min: 0, max: 30 }), (msPerToken, msPerPiece) => {
    const pace = new Pace(50, 256);
    const cost = (tokens: number): number => msPerPiece + tokens * msPerToken;
    for (let i = 0; i < 40; i++) {
      assert.ok(pace.tokens % 16 === 0 && pace.tokens >= 16 && pace.tokens <= 256);
      pace.took(pace.tokens, cost(pace.tokens));
    }
    assert.ok(cost(pace.tokens) <= 50 * pace.tokens / (pace.tokens - 8) || pace.tokens === 16);
    assert.ok(pace.tokens >= 240 || cost(1.5 * pace.tokens + 32) > 50, 'not much less than it could be');
  }));
});

await test('a prompt\'s end, or one slow piece, does not change it for long', () => {
  const pace = new Pace(50, 256);
  for (let i = 0; i < 10; i++) pace.took(pace.tokens, pace.tokens / 4);
  const usual = pace.tokens;
  pace.took(3, 200);
  assert.equal(pace.tokens, usual);
  pace.took(usual, 5000);
  for (let i = 0; i < 4; i++) pace.took(pace.tokens, pace.tokens / 4);
  assert.ok(Math.abs(pace.tokens - usual) <= 16);
});

await test('what was read at once while nobody waited says how long it took, and no more', () => {
  const pace = new Pace(50, 256);
  for (let i = 0; i < 10; i++) pace.took(256, 256 / 1.6);
  assert.equal(pace.tokens, 80);
});

await test('the shortest pieces are not for ever', () => {
  const pace = new Pace(50, 256);
  for (let i = 0; i < 10; i++) pace.took(pace.tokens, 1000);
  assert.equal(pace.tokens, 16);
  for (let i = 0; i < 10; i++) pace.took(pace.tokens, 20 + pace.tokens * 0.65);
  assert.equal(pace.tokens, 32);
});
