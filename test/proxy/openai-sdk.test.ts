/** The official client against the proxy: nothing but its base URL is ours. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import OpenAI, { APIError, AuthenticationError, BadRequestError, InternalServerError, NotFoundError } from 'openai';
import { startHarness, type Harness } from './harness.ts';

describe('openai-node', () => {
  let h: Harness;
  let client: OpenAI;
  before(async () => {
    h = await startHarness({ server: { keys: [{ key: 'agent-key-1', scope: 'agent' }] } });
    client = new OpenAI({ baseURL: `${h.url}/v1`, apiKey: 'agent-key-1', maxRetries: 0 });
  });
  after(() => h[Symbol.asyncDispose]());
  const messages = (content: string) => [{ role: 'user' as const, content }];

  test('an answer', async () => {
    const { data, response } = await client.chat.completions.create({ model: 'fake', messages: messages('hi') }).withResponse();
    assert.equal(data.choices[0]?.message.content, 'echo: hi');
    assert.equal(data.id, (await h.steps()).at(-1)?.responseId);
    assert.ok(response.headers.get('x-fulgurite-rollout'));
    // For longer than a load balancer keeps its connections: a request never goes out on one that is being closed here.
    assert.equal(response.headers.get('keep-alive'), 'timeout=75');
  });

  test('a stream, and the helper that puts it together', async () => {
    let text = '';
    for await (const chunk of await client.chat.completions.create({ model: 'fake', messages: messages('hi'), stream: true })) text += chunk.choices[0]?.delta.content ?? '';
    assert.equal(text, 'echo: hi');
    const final = await client.chat.completions.stream({ model: 'fake', messages: messages('you') }).finalChatCompletion();
    assert.equal(final.choices[0]?.message.content, 'echo: you');
  });

  test('models', async () => {
    assert.equal((await client.models.retrieve('fake')).id, 'fake');
    assert.deepEqual((await client.models.list()).data.map((model) => model.id), ['fake']);
    await assert.rejects(client.models.retrieve('other'), NotFoundError);
  });

  test('errors are its own kinds of error', async () => {
    const ask = (model: string, content: string, using = client) => using.chat.completions.create({ model, messages: messages(content) });
    await assert.rejects(ask('other', 'x'), (error) => error instanceof NotFoundError && error.code === 'model_not_found');
    await assert.rejects(ask('fake', '!refuse x'), (error) => error instanceof BadRequestError && error.code === 'context_length_exceeded' && error.param === 'messages');
    await assert.rejects(ask('fake', '!crash x'), (error) => error instanceof InternalServerError && error.status === 500);
    await assert.rejects(ask('fake', 'x', client.withOptions({ apiKey: 'wrong-key' })), (error) => error instanceof AuthenticationError && error.code === 'invalid_api_key');
    await assert.rejects(client.get('/nothing'), NotFoundError);
    await assert.rejects(client.withOptions({ baseURL: `${h.url}/rollouts/ro_none/v1` }).chat.completions.create({ model: 'fake', messages: messages('x') }), NotFoundError);
  });

  test('an error in mid-stream is raised out of the iteration', async () => {
    const stream = await client.chat.completions.create({ model: 'fake', messages: messages('!fail_midstream x'), stream: true });
    let frames = 0;
    await assert.rejects(async () => { for await (const _ of stream) frames++; }, APIError);
    assert.ok(frames > 0);
  });

  test('its own retries make one step of the trajectory', async () => {
    const before = (await h.steps()).length;
    await assert.rejects(client.withOptions({ maxRetries: 2 }).chat.completions.create({ model: 'fake', messages: messages('!crash again') }), InternalServerError);
    const tries = (await h.steps()).slice(before);
    assert.equal(tries.length, 3);
    assert.equal(new Set(tries.map((step) => `${step.rolloutId} ${step.sequence}`)).size, 1);
    assert.equal(new Set(tries.map((step) => step.callId)).size, 3);
  });

  test('an abort', async () => {
    const stream = await client.chat.completions.create({ model: 'fake', messages: messages(`!slow ${'x'.repeat(200)}`), stream: true });
    for await (const _ of stream) break;
    const deadline = Date.now() + 2000;
    while ((await h.steps()).at(-1)?.state !== 'client_aborted') {
      assert.ok(Date.now() < deadline, `still ${(await h.steps()).at(-1)?.state}`);
      await new Promise((resolve) => { setTimeout(resolve, 10); });
    }
  });
});
