/** Answers held to a form, through the whole engine: a model whose tokens are all but equally likely says what the grammar lets it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { embeddedBackendSchema } from '../../../../config/schema.ts';
import { startEmbedded } from '../../../../proxy/backends/embedded/start.ts';
import { createLog } from '../../../../proxy/log.ts';
import { toApiError } from '../../../../proxy/errors.ts';
import { chatCall, outcome } from '../answers.ts';
import { facts, writeChainModel } from './chain-model.ts';

const home = mkdtempSync(join(tmpdir(), 'fulgurite-'));
after(() => { rmSync(home, { recursive: true }); });
const model = writeChainModel(join(home, 'chain'));
const never = new AbortController().signal;

async function open(config: object = {}) {
  const backend = await startEmbedded(embeddedBackendSchema.parse({ kind: 'embedded', model, maxContext: 2048, threads: 1, ...config }), { cacheDir: join(home, 'cache'), adapterTargets: [] }, createLog('silent'));
  return {
    backend,
    chat: async (body: object) => outcome(await backend.chat(chatCall({ model: 'chain', messages: [{ role: 'user', content: 'Hi' }], ...body }), never)),
    [Symbol.asyncDispose]: () => backend.close(),
  };
}
const shared = await open();
after(() => shared.backend.close());

const schema = { type: 'object', properties: { kind: { enum: ['sum', 'product'] }, of: { type: 'array', items: { type: 'integer', minimum: 0, maximum: 99 }, minItems: 1, maxItems: 3 } }, required: ['kind', 'of'], additionalProperties: false };
const isValid = new Ajv2020().compile(schema);
const asked = (more: object = {}) => ({ response_format: { type: 'json_schema', json_schema: { name: 'calculation', strict: true, schema } }, ...more });
const tool = (name: string, strict = true) => ({ type: 'function', function: { name, strict, parameters: schema } });

test('json_schema: every choice is valid, whole or streamed', async () => {
  for (const stream of [false, true]) {
    const { choices, kept } = await shared.chat(asked({ n: 16, seed: 5, stream }));
    for (const [index, { content, finishReason }] of choices.entries()) {
      assert.equal(finishReason, 'stop');
      assert.ok(isValid(JSON.parse(content ?? '')), content ?? '');
      assert.equal(kept[index]?.ids.length, kept[index]?.logprobs.length);
    }
    assert.ok(new Set(choices.map(({ content }) => content)).size > 8, 'the answers differ');
  }
});

test('the same seed says the same alone and among others', async () => {
  const alone = await shared.chat(asked({ seed: 3 }));
  const among = await Promise.all([1, 2, 3, 4].map((seed) => shared.chat(asked({ seed, n: 2 }))));
  assert.equal(among[2]?.choices[0]?.content, alone.choices[0]?.content);
});

test('the mask is part of the recorded distribution, not of the one that is shown', async () => {
  // One of two words: every token of the first that the mask lets through has the same logit.
  const { choices, kept } = await shared.chat({ response_format: { type: 'json_schema', json_schema: { name: 'n', schema: { enum: [1, 2, 3, 4] } } }, logprobs: true, seed: 1 });
  const [digit, end] = kept[0]?.logprobs ?? [];
  assert.ok(Math.abs((digit ?? NaN) - Math.log(1 / 4)) < 1e-5 && Math.abs(end ?? NaN) < 1e-6, `${digit} ${end}`);
  const shown = (choices[0]?.logprobs?.[0] as { logprob: number } | undefined)?.logprob;
  assert.ok(Math.abs((shown ?? NaN) - -Math.log(facts.vocabSize - 1 + Math.exp(facts.margin))) < 1e-3);
});

test('json_object is an object', async () => {
  const { choices } = await shared.chat({ response_format: { type: 'json_object' }, n: 8, seed: 2, logit_bias: {}, max_tokens: 400 });
  for (const { content, finishReason } of choices) if (finishReason === 'stop') assert.equal(typeof JSON.parse(content ?? ''), 'object');
  assert.ok(choices.some(({ finishReason }) => finishReason === 'stop'));
});

test('tool_choice: required calls one or more, parallel_tool_calls false one, a named function that one', async () => {
  const tools = [tool('add'), tool('mul')];
  for (const stream of [false, true]) {
    // The chain ends an answer after its call: without that, another one may follow.
    const required = await shared.chat({ tools, tool_choice: 'required', n: 8, seed: 4, stream, logit_bias: { 1: -facts.margin } });
    for (const { content, toolCalls, finishReason } of required.choices) {
      assert.deepEqual([content ?? '', finishReason], ['', 'tool_calls']);
      assert.ok(toolCalls.length >= 1 && toolCalls.every((call) => isValid(JSON.parse(call.arguments ?? ''))));
    }
    assert.ok(required.choices.some(({ toolCalls }) => toolCalls.length > 1));
    const single = await shared.chat({ tools, tool_choice: 'required', parallel_tool_calls: false, n: 8, seed: 4, stream });
    assert.ok(single.choices.every(({ toolCalls }) => toolCalls.length === 1));
    const named = await shared.chat({ tools, tool_choice: { type: 'function', function: { name: 'mul' } }, n: 8, seed: 4, stream });
    assert.ok(named.choices.every(({ toolCalls, finishReason }) => toolCalls.length === 1 && toolCalls[0]?.name === 'mul' && finishReason === 'stop'));
  }
});

test('a strict tool under "auto": the model calls as it likes, with arguments that are valid', async () => {
  // The chain writes {"a": 1, "b": "é"}, which the schema does not know.
  const { choices } = await shared.chat({ tools: [tool('add')], temperature: 0.1, n: 4, seed: 1 });
  for (const { toolCalls } of choices) for (const call of toolCalls) assert.ok(isValid(JSON.parse(call.arguments ?? '')), call.arguments);
  assert.ok(choices.some(({ toolCalls }) => toolCalls.length > 0));
  const loose = await shared.chat({ tools: [tool('add', false)], temperature: 0 });
  assert.equal(loose.choices[0]?.toolCalls[0]?.arguments, '{"a": 1, "b": "é"}');
});

for (const toolFormat of ['llama-json', 'pythonic', 'qwen-coder']) {
  test(`calls as ${toolFormat} has them: required, and valid`, async () => {
    await using opened = await open({ toolFormat });
    for (const stream of [false, true]) {
      const { choices } = await opened.chat({ tools: [tool('add'), tool('mul')], tool_choice: 'required', n: 6, seed: 4, stream });
      for (const { toolCalls, content } of choices) {
        assert.equal(content ?? '', '');
        assert.ok(toolCalls.length >= 1 && toolCalls.every((call) => isValid(JSON.parse(call.arguments ?? ''))), JSON.stringify(toolCalls));
      }
    }
  });
}

test('a schema that cannot be held to is a 400 that says why; the next request is served', async () => {
  const wrong = chatCall({ model: 'chain', messages: [{ role: 'user', content: 'Hi' }], response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'object', properties: { a: { not: {} } } } } } });
  const error = toApiError(await shared.backend.chat(wrong, never).then(() => null, (thrown: unknown) => thrown));
  assert.deepEqual([error.status, error.code], [400, 'invalid_grammar']);
  assert.match(error.message, /#\/properties\/a: "not" is not supported/);
  assert.equal((await shared.chat(asked())).status, 200);
});

test('thoughts come first and are told apart; what follows them is held to the form', async () => {
  await using opened = await open({ reasoning: 'think' });
  const free = await opened.chat({ temperature: 0, logit_bias: {} });
  assert.equal(free.choices[0]?.content, 'Red, Blue and café Green! Done');
  const held = await opened.chat(asked({ n: 4, seed: 1 }));
  for (const { content } of held.choices) assert.ok(isValid(JSON.parse(content ?? '')), content ?? '');
});

test('a choice that is given up leaves nothing behind: others go on', async () => {
  const gone = new AbortController();
  const reply = await shared.backend.chat(chatCall({ model: 'chain', messages: [{ role: 'user', content: 'Hi' }], response_format: { type: 'json_object' }, stream: true, n: 8 }), gone.signal);
  assert.equal(reply.kind, 'stream');
  gone.abort();
  assert.ok(isValid(JSON.parse((await shared.chat(asked({ seed: 9 }))).choices[0]?.content ?? '')));
});
