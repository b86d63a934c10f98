/** A client that tries again: one place in the trajectory, one step to train on, whatever became of the first try. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import OpenAI from 'openai';
import { startHarness, tempDir, until, type Harness } from '../harness.ts';
import { behind } from './behind.ts';
import { wholeBody } from './chunks.ts';

test('the official client\'s retries of a failing server are one step of the trajectory', async () => {
  await using b = await behind((call) => {
    if (b.upstream.calls.length < 3) call.json(503, { error: { message: 'busy' } });
    else call.json(200, wholeBody('ok'));
  });
  const client = new OpenAI({ baseURL: `${b.proxy.url}/v1`, apiKey: 'none', maxRetries: 2 });
  const answer = await client.chat.completions.create({ model: 'm', messages: [{ role: 'user', content: 'x' }] });
  assert.equal(answer.choices[0]?.message.content, 'ok');
  assert.equal(b.upstream.calls.length, 3);
  const steps = await b.steps();
  assert.deepEqual(steps.map((step) => [step.state, step.sequence]), [['upstream_error', 0], ['upstream_error', 0], ['complete', 0]]);
  assert.equal(new Set(steps.map((step) => step.rolloutId)).size, 1);
});

describe('a call that its client says is tried again', () => {
  let h: Harness;
  let path = '';
  before(async () => { h = await startHarness(); });
  after(() => h[Symbol.asyncDispose]());
  const start = async () => {
    path = `${(await (await h.post('/admin/rollouts', {})).json() as { base_url: string }).base_url}/chat/completions`;
    return async () => (await h.steps()).filter((step) => path.includes(step.rolloutId)).map((step) => [step.state, step.sequence, step.quarantineReason]);
  };

  for (const [name, first, second] of [
    ['by its count', { 'x-stainless-retry-count': '0' }, { 'x-stainless-retry-count': '1' }],
    ['by its key', { 'idempotency-key': 'k1' }, { 'idempotency-key': 'k1' }],
  ] as const) {
    test(`${name}: it never saw the first answer, which is kept and not trained on`, async () => {
      const steps = await start();
      await (await h.chat(name, {}, path, first)).text();
      await (await h.chat(name, {}, path, second)).text();
      await (await h.chat('next', {}, path)).text();
      assert.deepEqual(await steps(), [['complete', 0, 'retried'], ['complete', 0, null], ['complete', 1, null]]);
    });
  }

  test('before the server noticed that it had given up on the first', async () => {
    const steps = await start();
    const controller = new AbortController();
    const first = fetch(h.url + path, { method: 'POST', signal: controller.signal, body: JSON.stringify({ model: 'fake', messages: [{ role: 'user', content: '!hang x' }] }) });
    const calls = h.backend.calls.length;
    await until(() => h.backend.calls.length > calls);
    // The second arrives first.
    const second = h.chat('!hang x', {}, path, { 'x-stainless-retry-count': '1' });
    await until(async () => (await steps()).length === 2);
    controller.abort();
    await assert.rejects(first);
    await until(async () => (await steps()).some(([state]) => state === 'client_aborted'));
    assert.deepEqual((await steps()).map(([, sequence]) => sequence), [0, 0]);
    await h.proxy.close(0);
    assert.equal((await second).status, 503);
  });

  test('after the server was started again', async () => {
    const dataDir = tempDir();
    const ask = (on: Harness, content: string, headers = {}) => on.chat(content, {}, path, headers).then((response) => response.text());
    {
      await using first = await startHarness({ dataDir });
      path = `${(await (await first.post('/admin/rollouts', {})).json() as { base_url: string }).base_url}/chat/completions`;
      await ask(first, 'one');
      await ask(first, 'two');
    }
    await using second = await startHarness({ dataDir });
    await ask(second, 'two', { 'x-stainless-retry-count': '1' });
    await ask(second, 'three', { 'x-stainless-retry-count': '1' });
    assert.deepEqual((await second.steps()).map((step) => [step.sequence, step.quarantineReason]), [[0, null], [1, 'retried'], [1, null], [2, null]]);
    rmSync(dataDir, { recursive: true });
  });

  test('the same body at the same time, and nobody says more: calls of their own', async () => {
    await using other = await startHarness();
    const rollout = await (await other.post('/admin/rollouts', {})).json() as { base_url: string };
    await Promise.all([1, 2, 3].map(async () => (await other.chat('!slow same', {}, `${rollout.base_url}/chat/completions`)).text()));
    assert.deepEqual((await other.steps()).map((step) => step.sequence).toSorted((a, b) => a - b), [0, 1, 2]);
    assert.ok((await other.steps()).every((step) => step.quarantineReason === null));
  });
});
