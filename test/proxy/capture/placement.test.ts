/** Whose step is this: every way of saying so, over real HTTP. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { events, startHarness, until, type Harness } from '../harness.ts';

interface Created { id: string; api_key: string; base_url: string; attempt_id: string }
const chat = '/v1/chat/completions';

describe('placement', () => {
  let h: Harness;
  before(async () => { h = await startHarness(); });
  after(() => h[Symbol.asyncDispose]());

  const create = async (body: object = {}) => await (await h.post('/admin/rollouts', body)).json() as Created; // its documented answer
  const say = (messages: readonly object[], more: object = {}, headers: Record<string, string> = {}) =>
    h.post(chat, { model: 'fake', messages, ...more }, headers);
  const last = async () => {
    const step = (await h.steps()).at(-1);
    assert.ok(step);
    return step;
  };

  test('by URL, with and without an agent', async () => {
    const rollout = await create({ task_id: 'a' });
    assert.equal(rollout.base_url, `/rollouts/${rollout.id}/v1`);
    await h.chat('x', {}, `${rollout.base_url}/chat/completions`);
    assert.deepEqual([(await last()).rolloutId, (await last()).attemptId, (await last()).agent, (await last()).sequence], [rollout.id, rollout.attempt_id, 'default', 0]);
    await h.chat('y', {}, `/rollouts/${rollout.id}/agents/planner${chat}`);
    assert.deepEqual([(await last()).agent, (await last()).sequence], ['planner', 1]);
  });

  test('by headers; the URL goes before them', async () => {
    const [one, two] = [await create(), await create()];
    await say([{ role: 'user', content: 'x' }], {}, { 'x-fulgurite-rollout': one.id, 'x-fulgurite-agent': 'writer' });
    assert.deepEqual([(await last()).rolloutId, (await last()).agent], [one.id, 'writer']);
    await h.chat('x', {}, `${two.base_url}/chat/completions`, { 'x-fulgurite-rollout': one.id });
    assert.equal((await last()).rolloutId, two.id);
    assert.equal((await say([{ role: 'user', content: 'x' }], {}, { 'x-fulgurite-rollout': 'ro_none' })).status, 404);
  });

  test('by trace: calls of one trace are one live rollout, also after a restart', async () => {
    const trace = 'a'.repeat(32);
    const headers = { traceparent: `00-${trace}-${'b'.repeat(16)}-01` };
    await Promise.all([1, 2, 3].map((i) => say([{ role: 'user', content: `q${i}` }], {}, headers)));
    const steps = (await h.steps()).slice(-3);
    assert.equal(new Set(steps.map((step) => step.rolloutId)).size, 1);
    assert.deepEqual(new Set(steps.map((step) => step.sequence)), new Set([0, 1, 2]));

    await using other = await startHarness({ dataDir: h.dataDir });
    await other.chat('after', {}, chat, headers);
    const step = (await other.steps()).at(-1);
    assert.deepEqual([step?.rolloutId, step?.sequence], [steps[0]?.rolloutId, 3]);
    await say([{ role: 'user', content: 'x' }], {}, { traceparent: `00-${'0'.repeat(32)}-${'b'.repeat(16)}-01` });
    assert.notEqual((await last()).rolloutId, `ro_${'0'.repeat(32)}`, 'an all-zero trace id is none');
  });

  test('by inference: an agent with nothing but a base URL makes multi-turn trajectories', async () => {
    const messages: object[] = [{ role: 'user', content: 'first' }];
    await say(messages);
    const first = await last();
    messages.push({ role: 'assistant', content: 'echo: first' }, { role: 'user', content: 'second' });
    await events(await say(messages, { stream: true }));
    const second = await last();
    messages.push({ role: 'assistant', content: 'echo: second' }, { role: 'user', content: 'third' });
    await say(messages);
    const third = await last();
    assert.deepEqual(new Set([first.rolloutId, second.rolloutId, third.rolloutId]).size, 1);
    assert.deepEqual([first.sequence, second.sequence, third.sequence], [0, 1, 2]);
    assert.deepEqual([first.parentStepId, second.parentStepId, third.parentStepId], [null, first.id, second.id]);

    // Sub-agents that go on from the same point make branches.
    await say([{ role: 'user', content: 'first' }, { role: 'assistant', content: 'echo: first' }, { role: 'user', content: 'another way' }]);
    assert.equal((await last()).rolloutId, first.rolloutId);
    assert.equal((await last()).parentStepId, first.id);
  });

  test('else a live rollout of its own', async () => {
    await say([{ role: 'user', content: 'q' }]);
    const one = await last();
    await say([{ role: 'user', content: 'q' }]);
    assert.notEqual((await last()).rolloutId, one.rolloutId);
    const rollout = await (await h.get(`/admin/rollouts/${one.rolloutId}`)).json() as { mode: string; state: string };
    assert.deepEqual([rollout.mode, rollout.state], ['live', 'running']);
  });

  test('an ended rollout takes no more calls; another attempt begins at zero', async () => {
    const rollout = await create();
    await h.chat('x', {}, `${rollout.base_url}/chat/completions`);
    const attempt = await (await h.post(`/admin/rollouts/${rollout.id}/attempts`, { state: 'timed_out', detail: '30 s' })).json() as { id: string; number: number };
    assert.equal(attempt.number, 2);
    await h.chat('x', {}, `${rollout.base_url}/chat/completions`);
    assert.deepEqual([(await last()).attemptId, (await last()).sequence, (await last()).parentStepId], [attempt.id, 0, null]);
    await h.post(`/admin/rollouts/${rollout.id}/end`, { state: 'succeeded' });
    const refused = await h.chat('x', {}, `${rollout.base_url}/chat/completions`);
    assert.equal(refused.status, 409);
    assert.equal((await refused.json() as { error: { code: string } }).error.code, 'rollout_ended');
  });

  test('a retried call takes the place of the one that failed', async () => {
    const rollout = await create();
    const path = `${rollout.base_url}/chat/completions`;
    await h.chat('x', {}, path);
    assert.equal((await h.chat('!crash once', {}, path)).status, 500);
    const failed = await last();
    assert.equal((await h.chat('!crash once', {}, path, { 'x-stainless-retry-count': '1' })).status, 500);
    const retried = await last();
    assert.equal(retried.sequence, failed.sequence);
    assert.notEqual(retried.callId, failed.callId);
    await h.chat('y', {}, path);
    assert.equal((await last()).sequence, failed.sequence + 1);
    const event = h.db.sqlite.prepare<[], { data: string }>('select data from events where kind = \'call.retried\'').get();
    assert.equal((JSON.parse(event?.data ?? '') as { retryOf: string }).retryOf, failed.callId);
  });

  test('a retry of an unplaced call stays in its rollout', async () => {
    await say([{ role: 'user', content: '!refuse me' }]);
    const failed = await last();
    await say([{ role: 'user', content: '!refuse me' }]);
    assert.deepEqual([(await last()).rolloutId, (await last()).sequence], [failed.rolloutId, failed.sequence]);
    await say([{ role: 'user', content: 'fine' }]);
    const fine = await last();
    await say([{ role: 'user', content: 'fine' }]);
    assert.notEqual((await last()).rolloutId, fine.rolloutId, 'the same body after a success is no retry');
  });

  test('parents are found again after a restart', async () => {
    const rollout = await create();
    await h.chat('one', {}, `${rollout.base_url}/chat/completions`);
    const parent = await last();
    await using other = await startHarness({ dataDir: h.dataDir });
    await other.post(`${rollout.base_url}/chat/completions`, {
      model: 'fake', messages: [{ role: 'user', content: 'one' }, { role: 'assistant', content: 'echo: one' }, { role: 'user', content: 'two' }],
    });
    const child = (await other.steps()).at(-1);
    assert.deepEqual([child?.parentStepId, child?.sequence], [parent.id, 1]);
  });

  test('50 calls at once on one rollout each have their own place', async () => {
    const rollout = await create();
    await Promise.all(Array.from({ length: 50 }, (_, i) => h.chat(`c${i}`, {}, `${rollout.base_url}/chat/completions`)));
    const places = (await h.steps()).filter((step) => step.rolloutId === rollout.id).map((step) => step.sequence).sort((a, b) => a - b);
    assert.deepEqual(places, Array.from({ length: 50 }, (_, i) => i));
    await until(async () => (await h.steps()).every((step) => step.state !== 'open'));
  });
});
