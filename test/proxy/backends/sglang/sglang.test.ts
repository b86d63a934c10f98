import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { configSchema } from '../../../../config/schema.ts';
import { NO_PENALTIES } from '../../../../engine/penalties.ts';
import { createBackend } from '../../../../proxy/backends/index.ts';
import { generateBody, unusableReason } from '../../../../proxy/backends/sglang/asking.ts';
import { GenerateReader } from '../../../../proxy/backends/sglang/reading.ts';
import { UpstreamError } from '../../../../proxy/errors.ts';
import { createLog } from '../../../../proxy/log.ts';
import { startSglangStandIn, type SglangOptions } from '../../../conformance/stand-in/sglang.ts';
import { chatCall, each, outcome } from '../answers.ts';
import { writeChainModel } from '../embedded/chain-model.ts';

const home = mkdtempSync(join(tmpdir(), 'fulgurite-'));
after(() => { rmSync(home, { recursive: true }); });
const model = writeChainModel(join(home, 'chain'));
const never = new AbortController().signal;

async function open(options: Partial<SglangOptions> = {}) {
  const server = await startSglangStandIn({ model, cacheDir: join(home, 'cache'), maxContext: 512, ...options });
  const config = configSchema.parse({ backend: { kind: 'sglang', baseUrl: server.url, model } });
  const backend = await createBackend(config.backend, { cacheDir: '', adapterTargets: [] }, createLog('silent'));
  return {
    server, backend,
    chat: async (body: object, more = {}) => outcome(await backend.chat(chatCall({ model: 'chain', messages: [{ role: 'user', content: 'Hi' }], max_tokens: 4, ...body }, more), never)),
    async [Symbol.asyncDispose]() {
      await backend.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

test('choices are a batch of one prompt, each with its seed; everything is said', () => {
  const sampling = { temperature: 0.7, topP: 1, topK: 0, minP: 0, seed: 5, ...NO_PENALTIES, logitBias: [[3, 2]] as const };
  const body = generateBody({ promptTokenIds: Int32Array.of(1, 2), n: 2, maxTokens: 8, stopTokenIds: [0], sampling, topLogprobs: 1, version: null }, 'fulgurite-3-abc');
  assert.deepEqual(body['input_ids'], [[1, 2], [1, 2]]);
  const [first, second] = body['sampling_params'] as Record<string, unknown>[];
  assert.deepEqual([first?.['sampling_seed'], second?.['sampling_seed'], first?.['top_k'], first?.['stop_token_ids'], first?.['logit_bias']], [5, 6, -1, [0], { 3: 2 }]);
  assert.equal(body['lora_path'], 'fulgurite-3-abc');
});

test('log-probs are not of what was cut off, nor of another temperature', () => {
  const plain = { temperature: 1, topP: 1, topK: 0, minP: 0, seed: null, ...NO_PENALTIES };
  const table = [
    [{}, 'sampled', null], [{ temperature: 0.7 }, 'sampled', null], [{ temperature: 0.7 }, 'raw', 'raw_logprobs'], [{ temperature: 0 }, 'raw', null], [{}, 'raw', null],
    [{ topP: 0.9 }, 'sampled', 'raw_logprobs'], [{ topK: 3 }, 'sampled', 'raw_logprobs'], [{ minP: 0.1 }, 'sampled', 'raw_logprobs'], [{ temperature: 0, topP: 0.9 }, 'sampled', null],
  ] as const;
  for (const [change, mode, wanted] of table) assert.equal(unusableReason({ ...plain, ...change }, mode), wanted, JSON.stringify([change, mode]));
});

test('what the server says of its log-probs is found out at the start', async () => {
  for (const [originalLogprobs, wanted] of [[false, null], [true, 'raw_logprobs']] as const) {
    await using opened = await open({ originalLogprobs });
    assert.equal((await opened.chat({ temperature: 0.5 })).kept[0]?.quarantine, wanted);
    assert.equal((await opened.chat({ temperature: 1 })).kept[0]?.quarantine, null);
  }
});

test('a version is an adapter under a name of its own, and leaves when its last call has ended', async () => {
  await using opened = await open();
  const { server, backend } = opened;
  const directory = join(home, 'policies', '3');
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'policy.json'), JSON.stringify({ files: { 'adapter_model.safetensors': 'abcdef0123456789' } }));
  await backend.loadPolicy({ version: 3, kind: 'adapter', directory });
  assert.deepEqual([...server.adapters.loaded], ['fulgurite-3-abcdef012345']);
  // As after a restart of the proxy.
  await backend.loadPolicy({ version: 3, kind: 'adapter', directory });
  await opened.chat({});
  assert.deepEqual(server.adapters.used, []);
  await backend.setCurrent(3);
  assert.deepEqual((await opened.chat({})).kept[0]?.versions.at(-1), 3);
  assert.deepEqual(server.adapters.used, ['fulgurite-3-abcdef012345']);

  const reply = await backend.chat(chatCall({ model: 'chain', messages: [{ role: 'user', content: 'Hi' }], stream: true, temperature: 0 }), never);
  assert.ok(reply.kind === 'stream');
  const frames = each(reply.frames);
  await frames.next();
  await backend.setCurrent(0);
  const unloaded = backend.unloadPolicy(3);
  assert.equal(server.adapters.loaded.size, 1);
  while ((await frames.next()).done !== true);
  await unloaded;
  assert.equal(server.adapters.loaded.size, 0);
  await assert.rejects(opened.chat({}, { version: 3 }), /not loaded/);
  await assert.rejects(backend.loadPolicy({ version: 4, kind: 'full', directory }), /whole model/);
});

test('a server of another model is refused by name of what differs', async () => {
  await using server = await startSglangStandIn({ model, cacheDir: join(home, 'cache'), maxContext: 512 });
  const other = configSchema.parse({ backend: { kind: 'sglang', baseUrl: server.url, model: new URL('../../../../examples/calculator/model', import.meta.url).pathname } });
  await assert.rejects(createBackend(other.backend, { cacheDir: '', adapterTargets: [] }, createLog('silent')), /other tokens than backend\.model/);
});

test('a generation that the server ends, or refuses in the stream, is its error', () => {
  const reader = new GenerateReader(1, { promptTokens: 1, version: 0 });
  assert.throws(() => reader.read({ error: { message: 'too long', code: 400 } }), (error) => error instanceof UpstreamError && error.status === 400);
  assert.throws(() => reader.read({ index: 0, meta_info: { finish_reason: { type: 'abort', message: 'gone', status_code: 503 } } }), (error) => error instanceof UpstreamError && error.status === 503);
  assert.throws(() => reader.read({ index: 4, meta_info: {} }), /not one of a generation/);
});
