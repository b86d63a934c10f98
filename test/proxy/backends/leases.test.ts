import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PolicyLeases } from '../../../proxy/backends/leases.ts';
import { ApiError } from '../../../proxy/errors.ts';

test('a version leaves with its last lease, each lease ends once', async () => {
  const policies = new PolicyLeases<string>();
  policies.add(1, 'one');
  const [first, second] = [policies.lease(1), policies.lease(1)];
  assert.deepEqual([first.loaded, policies.leased], ['one', 2]);
  let gone: string | null | undefined;
  const leaving = policies.letGo(1).then((loaded) => gone = loaded);
  first.release();
  first.release();
  await Promise.resolve();
  assert.deepEqual([gone, policies.find(1), policies.leased], [undefined, 'one', 1]);
  second.release();
  assert.equal(await leaving, 'one');
  assert.equal(policies.find(1), undefined);
  assert.throws(() => policies.lease(1), (error) => error instanceof ApiError && error.status === 503 && error.retryAfter === 1);
});

test('what is not used leaves at once, what is not known is not there', async () => {
  const policies = new PolicyLeases<string>();
  policies.add(1, 'one');
  assert.equal(await policies.letGo(1), 'one');
  assert.equal(await policies.letGo(1), null);
});

test('a version that is added again while it waits for its end stays, and can leave later', async () => {
  const policies = new PolicyLeases<string>();
  policies.add(1, 'one');
  const lease = policies.lease(1);
  const leaving = policies.letGo(1);
  policies.add(1, 'one');
  assert.equal(await leaving, null);
  const [superseded, last] = [policies.letGo(1), policies.letGo(1)];
  assert.equal(await superseded, null);
  lease.release();
  assert.equal(await last, 'one');
});

test('idle is when no call has a lease', async () => {
  const policies = new PolicyLeases<null>();
  policies.add(0, null);
  await policies.whenIdle();
  const lease = policies.lease(0);
  let isIdle = false;
  const idle = policies.whenIdle().finally(() => { isIdle = true; });
  await Promise.resolve();
  assert.equal(isIdle, false);
  lease.release();
  await idle;
});
