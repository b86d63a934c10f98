import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RetryIndex } from '../../../proxy/capture/retries.ts';

const call = { callId: 'ca_1', rolloutId: 'ro_1', attemptId: 'at_1', sequence: 3 };

test('a failure is answered by one retry, within the window', () => {
  let now = 0;
  const retries = new RetryIndex(() => now);
  retries.failed('f', call);
  assert.equal(retries.take('other'), null);
  now = 59_000;
  assert.deepEqual(retries.take('f'), call);
  assert.equal(retries.take('f'), null);
  retries.failed('f', call);
  now = 59_000 + 60_001;
  assert.equal(retries.take('f'), null, 'too late');
});
