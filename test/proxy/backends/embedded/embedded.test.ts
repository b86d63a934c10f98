import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { embeddedBackendSchema } from '../../../../config/schema.ts';
import { openText } from '../../../../model/open.ts';
import { startEmbedded } from '../../../../proxy/backends/embedded/start.ts';
import { createLog } from '../../../../proxy/log.ts';
import { ApiError } from '../../../../proxy/errors.ts';
import { chatCall, outcome } from '../answers.ts';
import { chains, facts, writeChainModel } from './chain-model.ts';

const home = mkdtempSync(join(tmpdir(), 'fulgurite-'));
after(() => { rmSync(home, { recursive: true }); });
const directory = writeChainModel(join(home, 'chain'));
const never = new AbortController().signal;

async function open(config: object = {}) {
  const needs = { cacheDir: join(home, 'cache'), adapterTargets: [] };
  const backend = await startEmbedded(embeddedBackendSchema.parse({ kind: 'embedded', model: directory, maxContext: 512, threads: 1, ...config }), needs, createLog('silent'));
  return {
    backend,
    chat: async (body: object, more = {}) => outcome(await backend.chat(chatCall({ model: 'chain', messages: [{ role: 'user', content: 'Hi' }], temperature: 0, ...body }, more), never)),
    refused: async (body: object, more = {}) => {
      const call = chatCall({ model: 'chain', messages: [{ role: 'user', content: 'Hi' }], ...body }, more);
      const error: unknown = await backend.chat(call, never).then(() => null, (thrown: unknown) => thrown);
      assert.ok(error instanceof ApiError, String(error));
      return error;
    },
    [Symbol.asyncDispose]: () => backend.close(),
  };
}

const shared = await open();
after(() => shared.backend.close());

const tool = (name: string) => ({ type: 'function', function: { name, parameters: { type: 'object' } } });

test('speaks, streamed and whole, without halves of characters', async () => {
  const whole = await shared.chat({});
  assert.equal(whole.choices[0]?.content, 'Red, Blue and café Green! Done');
  assert.equal(whole.kept[0]?.ids.length, 11, 'the end token is among the ids');
  assert.deepEqual([whole.body?.['id'], whole.body?.['object'], whole.body?.['model'], whole.body?.['system_fingerprint']], ['chatcmpl-test', 'chat.completion', 'chain', 'fulgurite-v0']);
  const streamed = await shared.chat({ stream: true });
  assert.deepEqual(streamed.chunks[0]?.['choices'], [{ index: 0, delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null }]);
  assert.deepEqual(streamed.chunks.at(-1)?.['choices'], [{ index: 0, delta: {}, logprobs: null, finish_reason: 'stop' }]);
  assert.doesNotMatch(JSON.stringify(streamed.chunks), /\uFFFD/);
});

test('an agent\'s turn: a call, its result, the answer', async () => {
  const tools = [tool('add')];
  for (const stream of [false, true]) {
    const called = await shared.chat({ tools, stream });
    const [choice] = called.choices;
    assert.equal(choice?.content, '');
    assert.equal(choice?.finishReason, 'tool_calls');
    assert.equal(called.kept[0]?.finishReason, 'tool_calls');
    assert.match(choice?.toolCalls[0]?.id ?? '', /^call_[0-9a-f]{24}$/);
    assert.deepEqual([choice?.toolCalls.length, choice?.toolCalls[0]?.name, choice?.toolCalls[0]?.arguments], [1, 'add', '{"a": 1, "b": "é"}']);
    assert.equal(called.kept[0]?.ids.length, 9, 'ids are those of the text that the model wrote');
    if (!stream) assert.deepEqual((called.body as { choices: { message: { content: unknown } }[] }).choices[0]?.message.content, null);

    const history = [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: null, tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'add', arguments: choice?.toolCalls[0]?.arguments } }] },
      { role: 'tool', tool_call_id: 'call_1', content: '3' },
    ];
    const answered = await shared.chat({ tools, stream, messages: history });
    assert.equal(answered.choices[0]?.content, 'It is 3.');
    assert.equal(answered.choices[0]?.finishReason, 'stop');
  }
});

test('arguments are rendered as an object; what is not JSON as it is', async () => {
  const { tokenizer } = openText(directory);
  const promptOf = async (text: string) => {
    const messages = [{ role: 'user', content: 'Hi' }, { role: 'assistant', tool_calls: [{ id: 'c', type: 'function', function: { name: 'add', arguments: text } }] }, { role: 'tool', tool_call_id: 'c', content: '3' }];
    return tokenizer.decode((await shared.chat({ messages })).kept[0]?.promptTokenIds ?? []);
  };
  assert.match(await promptOf('{"a":1}'), /<tool_call>\n\{"name": "add", "arguments": \{"a": 1\}\}\n<\/tool_call>/);
  assert.ok((await promptOf('{"a": 1')).includes(String.raw`"arguments": "{\"a\": 1"`));
});

test('two calls beside words; one alone where parallel calls are not wanted', async () => {
  for (const stream of [false, true]) {
    const both = await shared.chat({ tools: [tool('add'), tool('mul')], stream });
    assert.equal(both.choices[0]?.content, 'Both:');
    assert.deepEqual(both.choices[0]?.toolCalls.map(({ name, arguments: text }) => [name, text]), [['add', '{"a": 1}'], ['mul', '{}']]);
    const one = await shared.chat({ tools: [tool('add'), tool('mul')], parallel_tool_calls: false, stream });
    assert.deepEqual(one.choices[0]?.toolCalls.map(({ name }) => name), ['add']);
    assert.equal(one.choices[0]?.finishReason, 'tool_calls');
    assert.deepEqual(one.kept[0]?.ids, both.kept[0]?.ids.slice(0, one.kept[0]?.ids.length));
    assert.equal(one.kept[0]?.ids.length, one.kept[0]?.logprobs.length);
  }
});

test('with tool_choice "none" the model sees no tools', async () => {
  const seen = await shared.chat({ tools: [tool('add')], tool_choice: 'none' });
  assert.equal(seen.choices[0]?.content, 'Red, Blue and café Green! Done');
});

test('max_tokens ends with "length"; without it the context\'s end does', async () => {
  await using opened = await open({ maxContext: 40 });
  const short = await opened.chat({ max_tokens: 4 });
  assert.deepEqual([short.choices[0]?.content, short.choices[0]?.finishReason, short.kept[0]?.ids.length], ['Red, Blue and', 'length', 4]);
  const prompt = short.kept[0]?.promptTokenIds?.length ?? 0;
  // Fill the context up to six tokens.
  for (const limit of [{}, { max_tokens: 1_000_000 }]) {
    const full = await opened.chat({ ...limit, messages: [{ role: 'user', content: `Hi${'x'.repeat(34 - prompt)}` }] });
    assert.deepEqual([full.kept[0]?.promptTokenIds?.length, full.kept[0]?.ids.length, full.choices[0]?.finishReason], [34, 6, 'length']);
  }
});

test('a bias moves tokens, a stop token ends the answer', async () => {
  const { tokenizer } = openText(directory);
  const id = (text: string) => tokenizer.tokenId(text) ?? NaN;
  assert.equal((await shared.chat({ logit_bias: { [id('Red')]: -100, [id('It is')]: 3 } })).choices[0]?.content, 'It is 3.');
  const stopped = await shared.chat({ stop_token_ids: [id(',')] });
  assert.deepEqual([stopped.choices[0]?.content, stopped.choices[0]?.finishReason, stopped.kept[0]?.ids.length], ['Red', 'stop', 2]);
});

test('kept log-probs are of the distribution sampled from, shown ones of the model\'s own', async () => {
  const seen = await shared.chat({ temperature: 2, seed: 1, logprobs: true, top_logprobs: 2, max_tokens: 1 });
  const [entry] = seen.choices[0]?.logprobs ?? [];
  assert.ok(entry !== undefined);
  // All other tokens have one and the same logit.
  const likeliest = (temperature: number) => -Math.log(1 + (facts.vocabSize - 1) * Math.exp(-facts.margin / temperature));
  const near = (a: number | undefined, b: number) => Math.abs((a ?? NaN) - b) < 0.01;
  const kept = seen.kept[0]?.logprobs[0], other = (temperature: number) => likeliest(temperature) - facts.margin / temperature;
  assert.ok(entry.token === 'Red' ? near(kept, likeliest(2)) && near(entry.logprob, likeliest(1)) : near(kept, other(2)) && near(entry.logprob, other(1)));
  assert.deepEqual(entry.top_logprobs.length, 2);
  const [top] = entry.top_logprobs as { token: string; logprob: number; bytes: number[] }[];
  assert.ok(near(top?.logprob, likeliest(1)));
  assert.deepEqual([top?.token, top?.bytes], ['Red', [82, 101, 100]]);
});

test('what the engine cannot do is refused, with what to do instead', async () => {
  const refusals: readonly (readonly [object, string])[] = [
    [{ logit_bias: { [facts.vocabSize]: 1 } }, 'logit_bias'],
    [{ stop_token_ids: [facts.vocabSize] }, 'stop_token_ids'],
  ];
  for (const [body, param] of refusals) {
    const error = await shared.refused(body);
    assert.deepEqual([error.status, error.code, error.param], [400, 'invalid_value', param]);
  }
  const neutral = await shared.chat({ response_format: { type: 'text' }, logit_bias: {} });
  assert.equal(neutral.status, 200);
});

test('tools are refused where the template would drop them, or the calls could not be read', async () => {
  const path = join(home, 'plain.jinja');
  writeFileSync(path, `{% for message in messages %}{% if message.role == 'tool' %}{{ raise_exception('no results here') }}{% endif %}{{ message.content }}{% endfor %}<say>`);
  await using plain = await open({ chatTemplate: path, name: 'public-name' });
  assert.equal(plain.backend.capabilities().tools, false);
  assert.match((await plain.refused({ model: 'public-name', tools: [tool('add')] })).message, /backend\.chatTemplate/);
  const raised = await plain.refused({ model: 'public-name', messages: [{ role: 'tool', tool_call_id: 'x', content: 'y' }] });
  assert.deepEqual([raised.status, raised.code], [400, 'chat_template_error']);
  assert.match(raised.message, /no results here/);
  await using unread = await open({ toolFormat: 'none' });
  assert.match((await unread.refused({ tools: [tool('add')] })).message, /backend\.toolFormat/);
});

test('a loaded policy serves once it is current, or where a call is pinned to it', async () => {
  await using opened = await open();
  const brief = chains.map((chain) => chain[0] === '<say>' ? ['<say>', ' Blue', ' and', ' Done', '<|im_end|>'] : chain);
  await opened.backend.loadPolicy({ version: 3, kind: 'full', directory: writeChainModel(join(home, 'policies', '3'), brief) });
  assert.equal((await opened.chat({})).choices[0]?.content, 'Red, Blue and café Green! Done');
  assert.equal((await opened.chat({}, { version: 3 })).choices[0]?.content, ' Blue and Done');
  await opened.backend.setCurrent(3);
  assert.equal(opened.backend.currentVersion(), 3);
  for (const stream of [false, true]) {
    const swapped = await opened.chat({ stream });
    assert.equal(swapped.choices[0]?.content, ' Blue and Done');
    assert.deepEqual(swapped.kept[0]?.versions, [3, 3, 3, 3]);
    assert.equal((swapped.body ?? swapped.chunks[0])?.['system_fingerprint'], 'fulgurite-v3');
    assert.deepEqual((await opened.chat({ stream }, { version: 0 })).kept[0]?.versions.at(-1), 0);
  }
});

test('an unknown version is refused before the stream begins', async () => {
  const call = chatCall({ model: 'chain', messages: [{ role: 'user', content: 'Hi' }], stream: true }, { version: 7 });
  await assert.rejects(shared.backend.chat(call, never), /7/);
});

test('a model that is not there is said in one sentence', async () => {
  await assert.rejects(open({ model: join(home, 'nowhere') }), /no model at/);
});
