import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RetryIndex, type RequestMarks } from '../../../proxy/capture/retries.ts';

const call = { callId: 'ca_1', rolloutId: 'ro_1', attemptId: 'at_1', sequence: 3 };
const plain: RequestMarks = { fingerprint: 'f', idempotencyKey: null, saysRetry: false };

test('a failure is answered by one retry, within the window', () => {
  let now = 0;
  const retries = new RetryIndex(() => now);
  retries.failed(plain, call);
  assert.equal(retries.take({ ...plain, fingerprint: 'other' }), null);
  now = 59_000;
  assert.deepEqual(retries.take(plain), { position: call, mayBeWhole: false });
  assert.equal(retries.take(plain), null);
  retries.failed(plain, call);
  now = 59_000 + 60_001;
  assert.equal(retries.take(plain), null, 'too late');
});

test('the same body after one that did not fail is a call of its own, unless its client says that it tries again', () => {
  const retries = new RetryIndex();
  const keyed = { ...plain, idempotencyKey: 'k1' };
  for (const [marks, next, isRetry] of [
    [plain, plain, false],
    [plain, { ...plain, saysRetry: true }, true],
    [keyed, keyed, true],
    [keyed, { ...plain, idempotencyKey: 'k2' }, false],
    [keyed, plain, false],
    [plain, keyed, false],
  ] as const) {
    retries.began(marks, call);
    assert.deepEqual(retries.take(next), isRetry ? { position: call, mayBeWhole: true } : null);
  }
});
