/** The agent-facing routes over real HTTP: what clients see when all is well, and when it is not. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { events, startHarness, until, type Harness } from './harness.ts';

interface ErrorShape { error: { message: string; type: string; param: string | null; code: string | null } }

async function errorOf(response: Response): Promise<ErrorShape['error']> {
  const body = await response.json() as ErrorShape; // the shape under test
  assert.deepEqual(Object.keys(body.error), ['message', 'type', 'param', 'code']);
  assert.doesNotMatch(body.error.message, /\n|at .*\.ts/, 'no stack trace');
  return body.error;
}

describe('chat completions', () => {
  let h: Harness;
  before(async () => { h = await startHarness(); });
  after(() => h[Symbol.asyncDispose]());

  test('an answer passes as the backend made it, and its step holds the ids', async () => {
    const response = await h.chat('hi', { unknown_field: [1] });
    assert.equal(response.status, 200);
    const body = await response.json() as Record<string, unknown>;
    assert.deepEqual(body['vendor_field'], { kept: true });
    assert.deepEqual(h.backend.calls.at(-1)?.body['unknown_field'], [1]);
    const step = (await h.steps()).at(-1);
    assert.equal(step?.state, 'complete');
    assert.equal(step.responseId, body['id']);
    assert.equal(step.id, response.headers.get('x-fulgurite-step'));
    assert.equal(step.completionIds?.length, step.logprobs?.length);
    assert.equal(step.completionIds?.length, 'echo: hi'.length + 1);
    assert.deepEqual(step.versionSpans, [{ version: 0, from: 0, to: 9 }]);
    assert.equal(step.quarantineReason, null);
    assert.deepEqual(JSON.parse(step.response ?? ''), body);
    assert.match(step.request ?? '', /unknown_field/);
  });

  test('a stream leaves frame by frame, and its end comes after the commit', async () => {
    const response = await h.chat('!slow stream', { stream: true });
    const reader = response.body?.getReader();
    assert.ok(reader);
    const decoder = new TextDecoder();
    let text = '';
    let firstAt = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      firstAt ||= performance.now();
      text += decoder.decode(value, { stream: true });
      if (text.includes('[DONE]')) {
        const step = (await h.steps()).at(-1);
        assert.equal(step?.state, 'complete', 'committed before [DONE] was seen');
        assert.equal(step.versionSpans?.[0]?.to, step.completionIds?.length);
      }
    }
    assert.ok(performance.now() - firstAt > 30, 'the first frame did not wait for the last');
    assert.match(text, /data: \[DONE\]\n\n$/);
    const stored = JSON.parse((await h.steps()).at(-1)?.response ?? '') as { chunks: string[] };
    assert.deepEqual(stored.chunks, text.split('\n\n').filter((event) => event !== '').map((event) => event.slice(6)).slice(0, -1));
  });

  test('n choices are n steps of one call, with one place in the trajectory', async () => {
    const response = await h.chat('hi', { n: 3 });
    assert.equal(response.status, 200);
    const steps = (await h.steps()).slice(-3);
    assert.equal(new Set(steps.map((step) => step.callId)).size, 1);
    assert.deepEqual(steps.map((step) => step.choice), [0, 1, 2]);
    assert.deepEqual(new Set(steps.map((step) => step.sequence)), new Set([0]));
    assert.notDeepEqual(steps[0]?.completionIds, steps[1]?.completionIds);
    assert.ok(steps.every((step) => step.request !== null), 'the bodies are the call\'s');
  });

  test('a swap in mid-stream leaves spans of both versions', async () => {
    await events(await h.chat('!swap two', { stream: true }));
    const spans = (await h.steps()).at(-1)?.versionSpans;
    assert.deepEqual(spans?.map((span) => span.version), [0, 1, 0]);
    assert.equal(spans.at(-1)?.to, (await h.steps()).at(-1)?.completionIds?.length);
  });

  for (const [behaviour, reason] of [['inexact', 'inexact'], ['mismatch', 'length_mismatch'], ['nan', 'invalid_logprobs']] as const) {
    test(`${behaviour}: served, kept, quarantined as ${reason}, counted`, async () => {
      assert.equal((await h.chat(`!${behaviour} x`)).status, 200);
      const step = (await h.steps()).at(-1);
      assert.equal(step?.state, 'complete');
      assert.equal(step.quarantineReason, reason);
      assert.match(await (await h.get('/metrics')).text(), new RegExp(`fulgurite_quarantined_steps_total\\{reason="${reason}"\\} 1`));
    });
  }

  test('a failure in mid-stream ends it with an error event and no [DONE]', async () => {
    const frames = await events(await h.chat('!fail_midstream x', { stream: true }));
    assert.ok(!frames.includes('[DONE]'));
    assert.equal((JSON.parse(frames.at(-1) ?? '') as ErrorShape).error.code, 'engine_failed');
    const step = (await h.steps()).at(-1);
    assert.equal(step?.state, 'upstream_error');
    assert.equal(step.completionIds?.length, 3, 'what was captured until then');
    assert.match(step.error ?? '', /engine_failed/);
  });

  test('a stream that is cut off is truncated', async () => {
    const frames = await events(await h.chat('!truncate x', { stream: true }));
    assert.ok(!frames.includes('[DONE]'));
    assert.equal((await h.steps()).at(-1)?.state, 'truncated');
    assert.equal((await h.chat('!truncate x')).status, 200);
    assert.equal((await h.steps()).at(-1)?.state, 'truncated', 'also without streaming');
  });

  test('a failure before the first frame is a status, also for a stream', async () => {
    const response = await h.chat('!refuse x', { stream: true });
    assert.equal(response.status, 400);
    assert.deepEqual((await errorOf(response)).code, 'context_length_exceeded');
    assert.equal((await h.steps()).at(-1)?.state, 'upstream_error');
  });

  test('a bug in the backend is a plain 500, and its stack goes to the log', async () => {
    const response = await h.chat('!crash x');
    assert.equal(response.status, 500);
    assert.doesNotMatch((await errorOf(response)).message, /a bug in the backend/);
    assert.ok(h.log.some((line) => line.includes('a bug in the backend')));
    assert.equal((await h.steps()).at(-1)?.state, 'upstream_error');
  });

  for (const [name, order, stream] of [['before the answer', '!hang x', false], ['in mid-stream', `!slow ${'long '.repeat(100)}`, true]] as const) {
    test(`a client that leaves ${name} aborts the backend at once`, async () => {
      const aborted = h.backend.aborted;
      const controller = new AbortController();
      const call = fetch(`${h.url}/v1/chat/completions`, {
        method: 'POST', signal: controller.signal, body: JSON.stringify({ model: 'fake', stream, messages: [{ role: 'user', content: order }] }),
      }).then((response) => response.text());
      await until(async () => (await h.steps()).at(-1)?.state === 'open');
      await new Promise((resolve) => { setTimeout(resolve, 40); });
      controller.abort();
      await assert.rejects(call);
      await until(() => h.backend.aborted > aborted, 500);
      await until(async () => (await h.steps()).at(-1)?.state === 'client_aborted', 500);
      assert.ok(((await h.steps()).at(-1)?.completionIds?.length ?? 0) > 0, 'what was captured until then');
    });
  }
});

describe('bad input', () => {
  let h: Harness;
  before(async () => { h = await startHarness({ server: { maxBodyBytes: 10_000 } }); });
  after(() => h[Symbol.asyncDispose]());

  const ok = [{ role: 'user', content: 'x' }];
  const cases: readonly [name: string, body: unknown, status: number, code: string, param: string | null][] = [
    ['no JSON', '{"model": ', 400, 'invalid_json', null],
    ['empty body', '', 400, 'invalid_json', null],
    ['not an object', '[1]', 400, 'invalid_value', null],
    ['no messages', { model: 'fake' }, 400, 'missing_required_parameter', 'messages'],
    ['messages not an array', { model: 'fake', messages: 'x' }, 400, 'invalid_value', 'messages'],
    ['a message without a role', { model: 'fake', messages: [{ content: 'x' }] }, 400, 'missing_required_parameter', 'messages[0].role'],
    ['model not a string', { model: 3, messages: ok }, 400, 'invalid_value', 'model'],
    ['stream not a boolean', { model: 'fake', messages: ok, stream: 'yes' }, 400, 'invalid_value', 'stream'],
    ['n of zero', { model: 'fake', messages: ok, n: 0 }, 400, 'invalid_value', 'n'],
    ['temperature not a number', { model: 'fake', messages: ok, temperature: 'hot' }, 400, 'invalid_value', 'temperature'],
    ['unknown model', { model: 'other', messages: ok }, 404, 'model_not_found', 'model'],
    ['too long', { model: 'fake', messages: [{ role: 'user', content: '!refuse' }] }, 400, 'context_length_exceeded', 'messages'],
    ['too large', { model: 'fake', messages: [{ role: 'user', content: 'x'.repeat(20_000) }] }, 413, 'request_too_large', null],
  ];
  for (const [name, body, status, code, param] of cases) {
    test(`${name}: ${status} ${code}`, async () => {
      const response = await h.post('/v1/chat/completions', body);
      assert.equal(response.status, status);
      const error = await errorOf(response);
      assert.equal(error.code, code);
      assert.equal(error.param, param);
    });
  }

  for (const [method, path, status, code] of [
    ['GET', '/v1/nothing', 404, 'unknown_url'],
    ['POST', '/admin/nothing', 404, 'unknown_url'],
    ['GET', '/v1/chat/completions', 405, 'method_not_allowed'],
    ['DELETE', '/admin/rollouts', 405, 'method_not_allowed'],
    ['POST', '/rollouts/ro_none/v1/chat/completions', 404, 'unknown_rollout'],
    ['GET', '/admin/rollouts/ro_none', 404, 'unknown_rollout'],
    ['GET', '/admin/steps/st_none', 404, 'unknown_step'],
    ['GET', '/admin/rounds/77', 404, 'unknown_round'],
    ['GET', '/admin/rounds/x', 400, 'invalid_value'],
    ['GET', '/admin/steps?limit=0', 400, 'invalid_value'],
    ['GET', '/admin/steps?colour=red', 400, 'invalid_value'],
    ['GET', '/admin/steps?cursor=st_none', 400, 'unknown_cursor'],
    ['GET', '/v1/models/other', 404, 'model_not_found'],
  ] as const) {
    test(`${method} ${path}: ${status} ${code}`, async () => {
      const response = await fetch(h.url + path, { method, ...(method === 'POST' ? { body: JSON.stringify({ model: 'fake', messages: ok }) } : {}) });
      assert.equal(response.status, status);
      assert.equal((await errorOf(response)).code, code);
      if (status === 405) assert.ok(response.headers.get('allow'));
    });
  }
});

test('more calls than maxPending get 503 with retry-after, and the others go on', async () => {
  await using h = await startHarness({ server: { maxPending: 2 } });
  const slow = [h.chat('!slow a'), h.chat('!slow b')];
  await until(() => h.backend.calls.length === 2);
  const refused = await h.chat('c');
  assert.equal(refused.status, 503);
  assert.equal(refused.headers.get('retry-after'), '1');
  assert.equal((await errorOf(refused)).code, 'too_many_calls');
  assert.deepEqual((await Promise.all(slow)).map((response) => response.status), [200, 200]);
  assert.equal((await h.chat('d')).status, 200);
});

test('readiness, health, the front page and the models', async () => {
  await using h = await startHarness();
  assert.deepEqual(await (await h.get('/readyz')).json(), { status: 'ready', detail: 'fake' });
  assert.equal((await h.get('/healthz')).status, 200);
  assert.match(await (await h.get('/')).text(), /OPENAI_BASE_URL/);
  const models = await (await h.get('/v1/models')).json() as { data: { id: string }[] };
  assert.deepEqual(models.data, [{ id: 'fake', object: 'model', created: 1, owned_by: 'test' }]);
  assert.equal((await (await h.get('/v1/models/fake')).json() as { id: string }).id, 'fake');
});

test('a closing server finishes its calls, and lets no new one in', async () => {
  const h = await startHarness();
  const slow = h.chat('!slow last words', { stream: true }).then(events);
  await until(() => h.backend.calls.length === 1);
  const closing = h.proxy.close(5000);
  const frames = await slow;
  await closing;
  assert.equal(frames.at(-1), '[DONE]');
  assert.equal((await h.steps()).at(-1)?.state, 'complete');
  await assert.rejects(h.chat('too late'));
  await h[Symbol.asyncDispose]();
});

test('a closing server ends what is still open at its deadline, and records it', async () => {
  const h = await startHarness();
  const hanging = h.chat('!hang x');
  await until(() => h.backend.calls.length === 1);
  await h.proxy.close(20);
  assert.equal((await hanging).status, 503);
  assert.equal((await h.steps()).at(-1)?.state, 'upstream_error');
  await h[Symbol.asyncDispose]();
});
