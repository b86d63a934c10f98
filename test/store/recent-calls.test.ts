import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RecentCalls } from '../../store/recent-calls.ts';

const stored = () => true;
const request = (seed: number, bytes = 1000) => Buffer.from(`${seed}`.padEnd(bytes, String(seed)));

describe('recent calls', () => {
  it('take no more than they may, and forget the oldest', () => {
    const recent = new RecentCalls(100_000);
    for (let i = 0; i < 1000; i++) {
      recent.opened({ id: `st_${i}`, attemptId: `at_${i % 7}`, request: request(i) }, null);
      recent.completed({ id: `st_${i}`, promptIds: new Int32Array(100), completionIds: new Int32Array(10) }, null);
      assert.ok(recent.bytes <= 100_000);
    }
    assert.equal(recent.baseFor({ attemptId: 'at_0', request: request(0) }, stored), null);
    assert.equal(recent.baseFor({ attemptId: 'other', request: request(999) }, stored)?.stepId, 'st_999');
  });

  it('of 0 bytes are none', () => {
    const recent = new RecentCalls(0);
    recent.opened({ id: 'st', attemptId: 'at', request: request(1) }, null);
    assert.equal(recent.bytes, 0);
    assert.equal(recent.baseFor({ attemptId: 'at', request: request(1) }, stored), null);
  });

  it('are not chained without end', () => {
    const recent = new RecentCalls(10_000_000);
    let whole = 0;
    for (let i = 0; i < 200; i++) {
      const next = { id: `st_${i}`, attemptId: 'at', request: Buffer.concat([request(1), Buffer.alloc(10 * i, 'x')]) };
      const base = recent.baseFor(next, stored);
      if (base === null) whole++;
      recent.opened(next, base);
    }
    assert.ok(whole > 2 && whole < 30, `${whole} of 200 are whole`);
  });

  it('are no base for what only begins a little alike', () => {
    const recent = new RecentCalls(10_000_000);
    recent.opened({ id: 'st', attemptId: 'at', request: '{"model":"m","messages":[{"role":"user","content":"a"}]}' }, null);
    assert.equal(recent.baseFor({ attemptId: 'at', request: '{"model":"m","messages":[{"role":"user","content":"b"}]}' }, stored), null);
  });
});
