import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseChatRequest } from '../../../proxy/dialects/chat.ts';
import { ApiError } from '../../../proxy/errors.ts';

const user = { role: 'user', content: 'Hi' };
const minimal = { model: 'm', messages: [user] };
const tool = { type: 'function', function: { name: 'add', description: 'Adds', parameters: { type: 'object' } } };

function refused(body: unknown): ApiError {
  try {
    parseChatRequest(body);
  } catch (error) {
    assert.ok(error instanceof ApiError);
    assert.equal(error.status, 400);
    return error;
  }
  throw new assert.AssertionError({ message: `accepted: ${JSON.stringify(body)}` });
}

test('a minimal request has OpenAI\'s defaults; null is absent', () => {
  const expected = {
    model: 'm', messages: [user], tools: [], toolChoice: { kind: 'auto' }, parallelToolCalls: true,
    temperature: 1, topP: 1, topK: 0, minP: 0, seed: null, stop: [], maxTokens: null, n: 1, logprobs: false, topLogprobs: 0,
    stream: false, includeUsage: false, responseFormat: { type: 'text' }, stopTokenIds: [], frequencyPenalty: 0, presencePenalty: 0, repetitionPenalty: 1, logitBias: [], addGenerationPrompt: true, continueFinalMessage: false, templateVariables: {},
  };
  assert.deepEqual(parseChatRequest(minimal), expected);
  assert.deepEqual(parseChatRequest({ ...minimal, temperature: null, stop: null, tools: null, max_tokens: null, unknown: { field: 1 } }), expected);
});

test('every parameter is read', () => {
  const request = parseChatRequest({
    ...minimal, temperature: 0.3, top_p: 0.9, top_k: -1, min_p: 0.1, seed: 7, stop: 'END', max_tokens: 5, max_completion_tokens: 9, n: 2,
    logprobs: true, top_logprobs: 3, stream: true, stream_options: { include_usage: true }, tools: [tool],
    tool_choice: { type: 'function', function: { name: 'add' } }, parallel_tool_calls: false, chat_template_kwargs: { enable_thinking: false },
    add_generation_prompt: false, continue_final_message: true, frequency_penalty: 0.5, presence_penalty: -1, repetition_penalty: 1.2, stop_token_ids: [4], logit_bias: { 5: -100, 7: 0.5 },
    response_format: { type: 'json_schema', json_schema: { name: 'sum', strict: true, schema: { type: 'integer' } } },
  });
  assert.deepEqual([request.temperature, request.topP, request.topK, request.minP, request.seed, request.stop, request.maxTokens, request.n], [0.3, 0.9, 0, 0.1, 7, ['END'], 9, 2]);
  assert.deepEqual([request.logprobs, request.topLogprobs, request.stream, request.includeUsage, request.parallelToolCalls], [true, 3, true, true, false]);
  assert.deepEqual([request.addGenerationPrompt, request.continueFinalMessage], [false, true]);
  assert.deepEqual([request.frequencyPenalty, request.presencePenalty, request.repetitionPenalty], [0.5, -1, 1.2]);
  assert.deepEqual(request.toolChoice, { kind: 'named', name: 'add' });
  assert.deepEqual([request.stopTokenIds, request.logitBias, request.responseFormat], [[4], [[5, -100], [7, 0.5]], { type: 'json_schema', schema: { type: 'integer' } }]);
  assert.deepEqual(request.tools, [{ name: 'add', parameters: { type: 'object' }, strict: false, json: tool }]);
  assert.deepEqual(request.templateVariables, { enable_thinking: false });
});

test('a conversation with tools is read, the tool\'s name found by its call', () => {
  const { messages } = parseChatRequest({ ...minimal, messages: [
    { role: 'developer', content: 'Be brief.' },
    { role: 'user', content: [{ type: 'text', text: 'two' }, { type: 'text', text: 'parts' }] },
    { role: 'assistant', content: null, tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'add', arguments: '{"a": 1' } }] },
    { role: 'tool', tool_call_id: 'call_1', content: '2' },
  ] });
  assert.deepEqual(messages, [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'two\nparts' },
    { role: 'assistant', content: '', toolCalls: [{ id: 'call_1', name: 'add', arguments: '{"a": 1' }] },
    { role: 'tool', toolCallId: 'call_1', name: 'add', content: '2' },
  ]);
});

const wrong: readonly (readonly [body: unknown, param: string | null, says: RegExp])[] = [
  ['text', null, /must be a JSON object/],
  [[], null, /must be a JSON object, not an array/],
  [{ messages: [user] }, 'model', /model is missing/],
  [{ model: 'm' }, 'messages', /messages is missing/],
  [{ ...minimal, model: 3 }, 'model', /a string, not 3/],
  [{ ...minimal, messages: 'Hi' }, 'messages', /an array, not "Hi"/],
  [{ ...minimal, messages: [] }, 'messages', /at least one/],
  [{ ...minimal, messages: [user, 'x'] }, 'messages[1]', /an object/],
  [{ ...minimal, messages: [{ role: 'alien', content: 'x' }] }, 'messages[0].role', /"alien"/],
  [{ ...minimal, messages: [user, { role: 'user' }] }, 'messages[1].content', /is missing/],
  [{ ...minimal, messages: [user, { role: 'user', content: 5 }] }, 'messages[1].content', /a string or an array of text parts/],
  [{ ...minimal, messages: [{ role: 'assistant' }] }, 'messages[0].content', /is missing/],
  [{ ...minimal, messages: [{ role: 'user', content: [{ type: 'image_url' }] }] }, 'messages[0].content[0].type', /text only/],
  [{ ...minimal, messages: [{ role: 'tool', content: 'x' }] }, 'messages[0].tool_call_id', /is missing/],
  [{ ...minimal, messages: [{ role: 'assistant', tool_calls: [{ id: 'c', function: { name: 'f', arguments: {} } }] }] }, 'messages[0].tool_calls[0].function.arguments', /a string, not an object/],
  [{ ...minimal, temperature: 'hot' }, 'temperature', /a number of at least 0 and at most 2, not "hot"/],
  [{ ...minimal, temperature: -1 }, 'temperature', /not -1/],
  [{ ...minimal, top_p: 0 }, 'top_p', /above 0/],
  [{ ...minimal, max_tokens: 1.5 }, 'max_tokens', /an integer/],
  [{ ...minimal, max_tokens: 0 }, 'max_tokens', /at least 1/],
  [{ ...minimal, n: 0 }, 'n', /at least 1/],
  [{ ...minimal, seed: 'x' }, 'seed', /an integer/],
  [{ ...minimal, stop: ['a', ''] }, 'stop[1]', /none of them empty/],
  [{ ...minimal, stop: 5 }, 'stop', /a string or an array/],
  [{ ...minimal, stream: 'yes' }, 'stream', /true or false/],
  [{ ...minimal, stream_options: { include_usage: true } }, 'stream_options', /needs stream/],
  [{ ...minimal, top_logprobs: 2 }, 'top_logprobs', /needs logprobs/],
  [{ ...minimal, continue_final_message: true }, 'continue_final_message', /add_generation_prompt to be false/],
  [{ ...minimal, logprobs: true, top_logprobs: 21 }, 'top_logprobs', /at most 20/],
  [{ ...minimal, tools: [{ type: 'custom' }] }, 'tools[0].type', /only "function"/],
  [{ ...minimal, tools: [{ type: 'function', function: {} }] }, 'tools[0].function.name', /is missing/],
  [{ ...minimal, tool_choice: 'required' }, 'tool_choice', /no tools are given/],
  [{ ...minimal, tools: [tool], tool_choice: 'maybe' }, 'tool_choice', /"auto", "none", "required"/],
  [{ ...minimal, tools: [tool], tool_choice: { type: 'function', function: { name: 'other' } } }, 'tool_choice', /"other", which is not among/],
  [{ ...minimal, functions: [] }, 'functions', /send tools/],
  [{ ...minimal, response_format: 'json' }, 'response_format', /an object/],
  [{ ...minimal, response_format: { type: 'yaml' } }, 'response_format.type', /"json_schema"/],
  [{ ...minimal, response_format: { type: 'json_schema' } }, 'response_format.json_schema', /missing/],
  [{ ...minimal, logit_bias: { a: 1 } }, 'logit_bias', /token ids/],
  [{ ...minimal, logit_bias: { 1: 200 } }, 'logit_bias.1', /at most 100/],
  [{ ...minimal, stop_token_ids: ['a'] }, 'stop_token_ids[0]', /token ids/],
];

for (const [body, param, says] of wrong) {
  test(`refused: ${JSON.stringify(body).slice(0, 120)}`, () => {
    const error = refused(body);
    assert.equal(error.param, param);
    assert.match(error.message, says);
  });
}

test('what real clients send is read', () => {
  const directory = new URL('../../fixtures/client-requests/', import.meta.url);
  const files = readdirSync(directory).filter((name) => name.endsWith('.jsonl'));
  assert.ok(files.length >= 8);
  for (const file of files) {
    for (const line of readFileSync(new URL(file, directory), 'utf8').trim().split('\n')) {
      const { path, body } = JSON.parse(line) as { path: string; body: { messages: unknown[] } };
      assert.equal(path, '/v1/chat/completions');
      assert.equal(parseChatRequest(body).messages.length, body.messages.length, file);
    }
  }
});
