import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isRecord, records, type JsonObject } from '../../../../proxy/backends/openai/json.ts';
import { sseData } from '../../../../proxy/backends/openai/sse.ts';
import { CompletionReader, type Reading } from '../../../../proxy/backends/llamacpp/reading.ts';
import { HiddenTokenFinder } from '../../../../proxy/backends/llamacpp/hidden-tokens.ts';
import { createTokenizer } from '../../../../model/tokenizer/create.ts';
import { bodyOf, exchange } from '../fixture-server.ts';
import { readFileSync } from 'node:fs';

const directory = new URL('../../../fixtures/golden/tokenizers/qwen/', import.meta.url);
const json = (file: string): unknown => JSON.parse(readFileSync(new URL(file, directory), 'utf8'));
const tokenizer = createTokenizer(json('tokenizer.json'), json('tokenizer_config.json'), 'qwen');
const hidden = new HiddenTokenFinder(tokenizer);
const reading: Reading = { probabilities: 'raw', topLogprobs: 1, promptTokens: 5, stopTokenIds: [], version: 3 };

async function recorded(name: string): Promise<JsonObject[]> {
  const events: JsonObject[] = [];
  for await (const data of sseData((async function* () { yield exchange(name).bytes; })())) {
    const event: unknown = JSON.parse(data);
    if (isRecord(event)) events.push(event);
  }
  return events;
}

test('a recorded stream: every token with its log-prob, and the end', async () => {
  const reader = new CompletionReader(1, reading, hidden);
  const events = (await recorded('llamacpp/completion_tokens_stream')).flatMap((event) => reader.read(event));
  const tokens = events.flatMap((event) => (event.type === 'token' ? [event.token] : []));
  assert.deepEqual(tokens.map(({ id }) => id), [7042, 30, 198, 198, 504, 2988, 314, 42]);
  assert.deepEqual(tokens[0], { id: 7042, logprob: -0.41068798303604126, rawLogprob: -0.41068798303604126, top: [{ id: 7042, logprob: -0.41068798303604126 }], version: 3 });
  assert.deepEqual(events.at(-1), { type: 'finished', choice: 0, reason: 'length' });
  assert.ok(reader.hasEnded);
  assert.ok(!events.some(({ type }) => type === 'unusable'));
});

test('a token that ends an answer here ends it, whatever the server goes on with', async () => {
  const reader = new CompletionReader(1, { ...reading, stopTokenIds: [30] }, hidden);
  const events = (await recorded('llamacpp/completion_tokens_stream')).flatMap((event) => reader.read(event));
  assert.deepEqual(events.map((event) => (event.type === 'token' ? event.token.id : event.type)), [7042, 30, 'finished']);
});

test('probabilities after the samplers are those of what was sampled from', () => {
  const [entry] = records(bodyOf(exchange('llamacpp/completion_tokens_t07_post'))['completion_probabilities']);
  const reader = new CompletionReader(1, { ...reading, probabilities: 'sampled' }, hidden);
  const [event] = reader.read({ index: 0, content: ' Paris', tokens: [7042], stop: false, tokens_predicted: 1, tokens_evaluated: 5, completion_probabilities: [entry] });
  assert.ok(event?.type === 'token');
  assert.ok(Math.abs(event.token.logprob - Math.log(0.941821813583374)) < 1e-12);
});

const event = (predicted: number, content: string, id: number, more: object = {}) =>
  ({ index: 0, content, tokens: [id], stop: false, tokens_predicted: predicted, tokens_evaluated: 5, completion_probabilities: [{ id, logprob: -1, top_logprobs: [] }], ...more });
const end = (predicted: number, more: object = {}) => ({ index: 0, content: '', tokens: [], stop: true, stop_type: 'eos', tokens_predicted: predicted, tokens_evaluated: 5, ...more });
const types = (events: readonly { type: string }[]) => events.map(({ type }) => type);

test('tokens that end inside a character are known by its bytes; their log-probs are not', () => {
  const text = '𝔘'; // four bytes, a token each
  const ids = [...tokenizer.encode(text)];
  assert.equal(ids.length, 4);
  const reader = new CompletionReader(1, reading, hidden);
  reader.read(event(1, 'a', 64));
  const [unscored, token] = reader.read(event(5, text, ids[3] ?? 0));
  assert.deepEqual(unscored, { type: 'unscored', choice: 0, before: [64], ids: ids.slice(0, 3) });
  assert.deepEqual(token?.type === 'token' && token.token.id, ids[3]);
  assert.deepEqual(types(reader.read(end(5))), ['finished']);
});

test('bytes that several tokens could have are not certain', () => {
  const reader = new CompletionReader(1, reading, hidden);
  assert.deepEqual(types(reader.read(event(3, 'ab', tokenizer.encode('b')[0] ?? 0))), ['unusable', 'token']);
});

test('an answer that ends inside a character, or of another prompt than was sent, is not exact', () => {
  const cut = new CompletionReader(1, reading, hidden);
  cut.read(event(1, 'a', 64));
  assert.deepEqual(cut.read(end(2)), [{ type: 'unusable', choice: 0, reason: 'inexact' }, { type: 'finished', choice: 0, reason: 'stop' }]);
  const other = new CompletionReader(1, reading, hidden);
  assert.deepEqual(types(other.read(end(0, { tokens_evaluated: 6 }))), ['unusable', 'finished']);
});

test('choices are told apart', () => {
  const reader = new CompletionReader(2, reading, hidden);
  assert.deepEqual(reader.read(event(1, 'b', 65, { index: 1 })).map((one) => (one.type === 'token' ? one.choice : null)), [1]);
  reader.read(end(1, { index: 1 }));
  assert.ok(!reader.hasEnded);
  reader.read(end(0));
  assert.ok(reader.hasEnded);
});

test('an error in the stream, and what is no event of a completion, are said', () => {
  const reader = new CompletionReader(1, reading, hidden);
  assert.throws(() => reader.read({ error: { message: 'out of memory', code: 500 } }), /out of memory/);
  assert.throws(() => reader.read({ hello: 1 }), /not one of a completion/);
  assert.throws(() => reader.read(event(1, 'a', 64, { completion_probabilities: [] })), /not one of a completion/);
});
