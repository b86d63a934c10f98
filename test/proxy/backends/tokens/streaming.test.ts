/** What only shows between two tokens, on an engine whose pace the test sets. Tokenizer, template and prompt thread are real. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { EngineError, type GenerateEvent, type GenerateRequest } from '../../../../engine/engine.ts';
import { openText } from '../../../../model/open.ts';
import { TokenBackend } from '../../../../proxy/backends/tokens/backend.ts';
import type { TokenEngine, TokenEvent } from '../../../../proxy/backends/tokens/engine.ts';
import { PromptEncoder } from '../../../../proxy/backends/tokens/prompts.ts';
import { chatCall, each, outcome } from '../answers.ts';
import { writeChainModel } from '../embedded/chain-model.ts';

const home = mkdtempSync(join(tmpdir(), 'fulgurite-'));
after(() => { rmSync(home, { recursive: true }); });
const model = writeChainModel(join(home, 'chain'));
const { tokenizer } = openText(model);
const prompts = await PromptEncoder.start({ model, chatTemplatePath: undefined });
after(() => prompts.close());
const never = new AbortController().signal;

type Script = (request: GenerateRequest, signal: AbortSignal) => AsyncIterable<TokenEvent>;

function backend(generate: Script): TokenBackend {
  const unused = () => Promise.reject(new Error('not in this test'));
  const engine: TokenEngine = { name: 'scripted', maxContext: 100, loadsPolicies: false, holds: () => true, generate, loadPolicy: unused, setCurrent: unused, unloadPolicy: unused, stats: unused, health: unused, close: unused };
  return new TokenBackend({ engine, prompts, tokenizer, model: 'chain', fingerprint: 'f', stopTokenIds: [1], templateUsesTools: true, toolFormat: null, thinks: false, vocabSize: tokenizer.vocabSize });
}

const token = (text: string, choice = 0, version = 0): GenerateEvent => {
  const id = tokenizer.tokenId(text);
  assert.ok(id !== undefined, text);
  return { type: 'token', choice, token: { id, logprob: -0.5, rawLogprob: -0.5, top: [], version } };
};
const call = chatCall({ model: 'chain', messages: [{ role: 'user', content: 'Hi' }], stream: true });

test('the first words leave with the first token, while the second is still being sampled', async () => {
  const second = Promise.withResolvers<void>();
  const reply = await backend(async function* () {
    yield { type: 'started', queueMs: 7 };
    yield token('Red');
    await second.promise;
    yield token(',');
    yield { type: 'finished', choice: 0, reason: 'length' };
  }).chat(call, never);
  assert.ok(reply.kind === 'stream');
  const frames = each(reply.frames);
  assert.match((await frames.next()).value?.data ?? '', /"role":"assistant"/);
  const { value } = await frames.next();
  assert.match(value?.data ?? '', /"content":"Red"/);
  assert.deepEqual(value?.capture.map(({ tokenIds, queueMs }: { tokenIds?: readonly number[]; queueMs?: number }) => [tokenIds, queueMs]), [[[tokenizer.tokenId('Red')], 7]]);
  second.resolve();
  assert.match((await frames.next()).value?.data ?? '', /"content":","/);
});

test('a swap in mid-stream shows in the versions of the tokens', async () => {
  const reply = await backend(async function* () {
    yield { type: 'started', queueMs: 0 };
    yield token('Red', 0, 3);
    yield token(',', 0, 4);
    yield { type: 'finished', choice: 0, reason: 'stop' };
  }).chat(call, never);
  const { kept, chunks } = await outcome(reply);
  assert.deepEqual(kept[0]?.versions, [3, 4]);
  assert.deepEqual(chunks.map((chunk) => chunk['system_fingerprint']), ['fulgurite-v3', 'fulgurite-v3', 'fulgurite-v4', 'fulgurite-v4']);
});

test('a stop string ends one choice while the other goes on; when both have ended the engine is told', async () => {
  let ended = false;
  const script: Script = async function* (_, signal) {
    signal.addEventListener('abort', () => { ended = true; });
    yield { type: 'started', queueMs: 0 };
    for (const text of ['Red', ' Blue', ' and', ' Green', '!', ' Done']) {
      yield token(text, 0);
      if (text !== ' Blue') yield token(text, 1);
    }
    assert.fail('read on after both choices had ended');
  };
  const body = { ...call.body, n: 2, stop: ['Blue', '!'], stream: false };
  const { choices, kept, usage } = await outcome(await backend(script).chat(chatCall(body), never));
  assert.deepEqual(choices.map(({ content, finishReason }) => [content, finishReason]), [['Red ', 'stop'], ['Red and Green', 'stop']]);
  assert.deepEqual(kept.map(({ ids }) => ids.length), [2, 4]);
  assert.equal(usage?.['completion_tokens'], 6);
  assert.ok(ended);
});

test('an engine that fails before the first token fails the call, later the stream', async () => {
  const early = backend(async function* () {
    yield { type: 'started', queueMs: 0 };
    throw new EngineError('queue_full', 'busy');
  });
  await assert.rejects(early.chat(call, never), { code: 'queue_full' });
  const late = await backend(async function* () {
    yield { type: 'started', queueMs: 0 };
    yield token('Red');
    throw new EngineError('engine_failed', 'gone');
  }).chat(call, never);
  assert.ok(late.kind === 'stream');
  const seen: (string | null)[] = [];
  await assert.rejects(async () => { for await (const { data } of each(late.frames)) seen.push(data); }, { code: 'engine_failed' });
  assert.equal(seen.length, 2);
});

test('an abort while the prompt is encoded, or of a stream that is left, ends the call', async () => {
  await assert.rejects(backend(() => assert.fail('never asked')).chat(call, AbortSignal.abort(new Error('gone'))), /gone/);
  let cleaned = false;
  const reply = await backend(async function* () {
    try {
      yield { type: 'started', queueMs: 0 };
      for (;;) yield token('Red');
    } finally {
      cleaned = true;
    }
  }).chat(call, never);
  assert.ok(reply.kind === 'stream');
  for await (const frame of each(reply.frames)) if (frame.data?.includes('Red') === true) break;
  assert.ok(cleaned, 'whoever leaves the frames ends the generation');
});
