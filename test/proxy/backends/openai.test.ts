import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openaiBackendSchema } from '../../../config/schema.ts';
import { OpenAIBackend } from '../../../proxy/backends/openai.ts';
import { ApiError, errorBody, UpstreamError } from '../../../proxy/errors.ts';
import { chatCall, outcome } from './answers.ts';
import { bodyOf, exchange, fixtureServer, llamacpp, vllm, type Asked, type Exchange } from './fixture-server.ts';

const never = new AbortController().signal;
const messages = [{ role: 'user', content: 'Name three colors.' }];
const greedy = { model: 'smollm2', messages, temperature: 0, max_tokens: 24 };

async function connect(answer: (asked: Asked) => Exchange, config: object = {}) {
  const server = await fixtureServer(answer);
  const backend = new OpenAIBackend(openaiBackendSchema.parse({ kind: 'openai', baseUrl: server.baseUrl, ...config }));
  return {
    server,
    backend,
    chat: async (body: Record<string, unknown>, headers = {}) => outcome(await backend.chat(chatCall(body, { headers }), never)),
    async [Symbol.asyncDispose]() {
      await backend.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

const withoutIdentity = (answer: Record<string, unknown>) => ({ ...answer, id: null, created: null });
const json = (status: number, body: unknown): Exchange => ({ request: { body: null }, status, contentType: 'application/json', bytes: Buffer.from(JSON.stringify(body)) });

test('two choices, each with its ids', async () => {
  await using connected = await connect(vllm);
  for (const stream of [false, true]) {
    const { kept, choices, keptUsage } = await connected.chat({ ...greedy, temperature: 1, n: 2, stream });
    assert.equal(choices.length, 2);
    for (const choice of kept) assert.deepEqual([choice.quarantine, choice.ids.length > 0, choice.logprobs.length], [null, true, choice.ids.length]);
    assert.notDeepEqual(kept[0]?.ids, kept[1]?.ids);
    assert.deepEqual(kept[0]?.promptTokenIds, kept[1]?.promptTokenIds);
    assert.equal(keptUsage?.completionTokens, kept.reduce((sum, { ids }) => sum + ids.length, 0));
  }
});

test('the client sees exactly what vLLM sends to one that asks for nothing', async () => {
  await using connected = await connect(vllm);
  const seen = await connected.chat(greedy);
  assert.deepEqual(withoutIdentity(seen.body ?? {}), withoutIdentity(bodyOf(exchange('vllm/chat_plain'))));

  const streamed = await connected.chat({ ...greedy, stream: true });
  const plain = exchange('vllm/chat_stream_plain').bytes.toString('utf8').split('\n\n').flatMap((event) => event.startsWith('data: {') ? [JSON.parse(event.slice(6)) as Record<string, unknown>] : []);
  assert.deepEqual(streamed.chunks.map(withoutIdentity), plain.map(withoutIdentity));
});

test('unknown fields pass both ways', async () => {
  await using connected = await connect(() => json(200, { ...bodyOf(exchange('vllm/chat_plain')), future: { field: [1, 'x'] } }));
  const seen = await connected.chat({ ...greedy, some_new_field: { a: 1 }, min_p: 0.1 }, { 'x-trace': 't1', authorization: 'Bearer of the proxy', 'x-fulgurite-rollout': 'ro_1' });
  assert.deepEqual(seen.body?.['future'], { field: [1, 'x'] });
  const [asked] = connected.server.asked;
  assert.deepEqual(asked?.body, { ...greedy, some_new_field: { a: 1 }, min_p: 0.1, return_token_ids: true, logprobs: true, top_logprobs: 0 });
  assert.equal(asked?.headers['x-trace'], 't1');
  assert.equal(asked?.headers.authorization, undefined);
  assert.equal(asked?.headers['x-fulgurite-rollout'], undefined);
});

test('a client that asks for ids, log-probs and usage itself gets them', async () => {
  await using connected = await connect(vllm);
  const own = { ...greedy, stream: true, return_token_ids: true, logprobs: true, top_logprobs: 1, stream_options: { include_usage: true } };
  const seen = await connected.chat(own);
  assert.deepEqual(connected.server.asked[0]?.body, own);
  const sent = exchange('vllm/chat_stream').bytes.toString('utf8').split('\n\n').flatMap((event) => event.startsWith('data: {') ? [JSON.parse(event.slice(6)) as unknown] : []);
  assert.deepEqual(seen.chunks, sent);
});

test('streams split at any byte are the same stream', async () => {
  await using connected = await connect(vllm);
  const body = { ...greedy, stream: true, stop: ['Blue'], max_tokens: 64 };
  const whole = await connected.chat(body);
  for (const bytes of [1, 7, 61]) {
    const pieces = await connected.chat(body, { 'x-piece-bytes': String(bytes) });
    assert.deepEqual(pieces, whole);
  }
});

test('chunks that only carry ids are kept and not seen', async () => {
  await using connected = await connect(vllm);
  const seen = await connected.chat({ ...greedy, stream: true, stop: ['Blue'], max_tokens: 64 });
  assert.equal(seen.choices[0]?.content, '1. Red\n2. ');
  assert.deepEqual(seen.kept[0]?.ids, [33, 30, 3950, 198, 34, 30, 10062]);
  assert.equal(seen.kept[0]?.logprobs.length, 7);
  assert.ok(!seen.chunks.some((chunk) => JSON.stringify(chunk).includes('"delta":{},"logprobs":null,"finish_reason":null')));
});

test('tool calls pass, streamed and whole, with every id', async () => {
  await using connected = await connect(vllm);
  for (const stream of [false, true]) {
    const seen = await connected.chat({ ...greedy, stream, max_tokens: 64, tools: [{ type: 'function', function: { name: 'get_weather' } }], tool_choice: 'required' });
    assert.equal(seen.choices[0]?.finishReason, 'tool_calls');
    assert.equal(seen.choices[0]?.toolCalls[0]?.name, 'get_weather');
    assert.equal(seen.choices[0]?.toolCalls[0]?.arguments, '"gaben_gaben"');
    assert.equal(seen.kept[0]?.ids.length, seen.keptUsage?.completionTokens);
    assert.equal(seen.kept[0]?.quarantine, null);
  }
});

test('a server without ids serves, and its steps are inexact', async () => {
  await using connected = await connect(llamacpp);
  await connected.backend.probe();
  assert.equal(connected.backend.capabilities().exact, false);
  for (const stream of [false, true]) {
    const seen = await connected.chat({ ...greedy, stream });
    assert.match(seen.choices[0]?.content ?? '', /^The most obvious color/);
    assert.equal(seen.kept[0]?.quarantine, 'inexact');
    assert.deepEqual([seen.kept[0]?.ids, seen.kept[0]?.logprobs], [[], []]);
    assert.deepEqual(seen.keptUsage, { promptTokens: 34, completionTokens: 24 });
  }
});

test('what llama.cpp says beside usage is kept when the usage chunk is taken out', async () => {
  await using connected = await connect(llamacpp);
  const seen = await connected.chat({ ...greedy, stream: true });
  assert.match(JSON.stringify(seen.chunks.at(-1)?.['choices']), /"finish_reason":"length"/);
  assert.ok(typeof seen.chunks.at(-1)?.['timings'] === 'object');
  assert.equal(seen.usage, null);
});

const unknownField = (field: string): Exchange => json(400, { error: { message: `Unrecognized request argument supplied: ${field}`, type: 'invalid_request_error', param: null, code: null } });

test('fields that a server refuses are left out, and remembered', async () => {
  const strict = (asked: Asked): Exchange => {
    const refused = ['return_token_ids', 'stream_options'].find((field) => field in asked.body);
    return refused === undefined ? llamacpp(asked) : unknownField(refused);
  };
  await using connected = await connect(strict);
  const first = await connected.chat({ ...greedy, stream: true });
  assert.equal(first.kept[0]?.quarantine, 'inexact');
  assert.equal(connected.server.asked.length, 3);
  await connected.chat({ ...greedy, stream: true });
  assert.equal(connected.server.asked.length, 4);
  assert.equal(connected.server.asked[3]?.body['logprobs'], true);
});

test('with tokenIds "require" a refusal is the client\'s to see; with "off" nothing is asked for', async () => {
  await using required = await connect(() => unknownField('return_token_ids'), { tokenIds: 'require' });
  await assert.rejects(required.chat(greedy), /Unrecognized request argument/);
  assert.equal(required.server.asked.length, 1);
  await using withoutIds = await connect(llamacpp, { tokenIds: 'require' });
  await assert.rejects(withoutIds.backend.probe(), /gives no token ids/);

  await using off = await connect(vllm, { tokenIds: 'off' });
  await off.chat(greedy);
  assert.deepEqual(off.server.asked[0]?.body, greedy);
});

test('upstream errors keep their status and body', async () => {
  await using connected = await connect(vllm);
  for (const stream of [false, true]) {
    const error = await connected.chat({ ...greedy, model: 'nope', stream }).catch((thrown: unknown) => thrown);
    assert.ok(error instanceof UpstreamError);
    assert.equal(error.status, 404);
    assert.deepEqual(errorBody(error), bodyOf(exchange('vllm/err_bad_model')));
  }
  await using busy = await connect(() => ({ ...json(503, 'down'), contentType: 'text/html', bytes: Buffer.from('<h1>down</h1>') }));
  const error = await busy.chat(greedy).catch((thrown: unknown) => thrown);
  assert.ok(error instanceof UpstreamError && error.status === 503);
  assert.match(error.message, /<h1>down/);
});

test('a stream that breaks off, or reports an error, is an error', async () => {
  const stream = exchange('vllm/chat_stream');
  const cut = (bytes: Buffer): Exchange => ({ ...stream, bytes });
  const betweenEvents = stream.bytes.indexOf('\n\n', 2000) + 2;
  for (const [bytes, code] of [[betweenEvents, 'upstream_truncated'], [betweenEvents + 100, 'upstream_truncated']] as const) {
    await using truncated = await connect(() => cut(stream.bytes.subarray(0, bytes)));
    await assert.rejects(truncated.chat({ ...greedy, stream: true }), (error) => error instanceof ApiError && error.status === 502 && error.code === code);
  }
  const failed = Buffer.concat([stream.bytes.subarray(0, stream.bytes.indexOf('\n\n') + 2), Buffer.from('data: {"error":{"message":"out of memory","code":500}}\n\n')]);
  await using failing = await connect(() => cut(failed));
  await assert.rejects(failing.chat({ ...greedy, stream: true }), (error) => error instanceof UpstreamError && error.message === 'out of memory');
});

test('silence and absence are 504 and 502', async () => {
  await using slow = await connect(vllm, { timeoutMs: 50 });
  const paced = slow.chat({ ...greedy, stream: true }, { 'x-pace-ms': '3000' });
  await assert.rejects(paced, (error) => error instanceof ApiError && error.status === 504 && error.code === 'upstream_timeout');
  const gone = new OpenAIBackend(openaiBackendSchema.parse({ kind: 'openai', baseUrl: 'http://127.0.0.1:9/v1' }));
  await gone.probe();
  await assert.rejects(gone.chat(chatCall(greedy), never), (error) => error instanceof ApiError && error.status === 502 && error.code === 'upstream_unreachable');
  assert.equal((await gone.health()).ok, false);
  await gone.close();
});

test('the configured model name and key go upstream', async () => {
  await using server = await fixtureServer(vllm);
  const backend = new OpenAIBackend(openaiBackendSchema.parse({ kind: 'openai', baseUrl: `${server.baseUrl}/`, model: 'smollm2', apiKey: 'sk-upstream' }));
  await backend.chat(chatCall({ ...greedy, model: 'gpt-4o' }), never);
  assert.equal(server.asked[0]?.body['model'], 'smollm2');
  assert.equal(server.asked[0]?.headers.authorization, 'Bearer sk-upstream');
  assert.equal(server.asked[0]?.path, '/v1/chat/completions');
  await assert.rejects(backend.loadPolicy(), /embedded backend/);
  await backend.close();
});

test('raw log-probs are not the sampled distribution\'s: quarantined away from temperature 1', async () => {
  const raw = (asked: Asked): Exchange => {
    const answer = vllm(asked);
    if (asked.body['max_tokens'] !== 1) return answer;
    const body = bodyOf(answer);
    const top = [{ token: 'a', logprob: -0.5 }, { token: 'b', logprob: -2 }];
    const choice = { index: 0, token_ids: [5], logprobs: { content: [{ token: 'a', logprob: -0.5, top_logprobs: top }] }, finish_reason: 'length' };
    return json(200, { ...body, choices: [choice] });
  };
  await using connected = await connect(raw);
  await connected.backend.probe();
  const at = async (temperature: number) => (await connected.chat({ ...greedy, temperature })).kept[0]?.quarantine;
  assert.deepEqual([await at(0.7), await at(1), await at(0)], ['raw_logprobs', null, null]);
});
