import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { configSchema } from '../../../../config/schema.ts';
import { createBackend } from '../../../../proxy/backends/index.ts';
import { UpstreamError } from '../../../../proxy/errors.ts';
import { createLog } from '../../../../proxy/log.ts';
import { startLlamaCppStandIn, type LlamaCppOptions } from '../../../conformance/stand-in/llama-cpp.ts';
import { chatCall, outcome } from '../answers.ts';
import { writeChainModel } from '../embedded/chain-model.ts';

const home = mkdtempSync(join(tmpdir(), 'fulgurite-'));
after(() => { rmSync(home, { recursive: true }); });
const model = writeChainModel(join(home, 'chain'));

async function open(options: Partial<LlamaCppOptions> = {}, files = model) {
  const server = await startLlamaCppStandIn({ model, cacheDir: join(home, 'cache'), maxContext: 512, ...options });
  const { backend: config } = configSchema.parse({ backend: { kind: 'llamacpp', baseUrl: server.url, model: files } });
  const backend = await createBackend(config, { cacheDir: '', adapterTargets: [] }, createLog('silent')).catch(async (error: unknown) => {
    await server[Symbol.asyncDispose]();
    throw error;
  });
  return {
    server, backend,
    chat: async (body: object, more = {}) => outcome(await backend.chat(chatCall({ model: 'chain', messages: [{ role: 'user', content: 'Hi' }], temperature: 0, ...body }, more), new AbortController().signal)),
    async [Symbol.asyncDispose]() {
      await backend.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

test('a character of two tokens is read by clients, and the step says that a log-prob is missing', async () => {
  await using opened = await open();
  const seen = await opened.chat({});
  assert.equal(seen.choices[0]?.content, 'Red, Blue and café Green! Done');
  // The stand-in does not answer the second question for it.
  assert.equal(seen.kept[0]?.quarantine, 'inexact');
  assert.equal(seen.kept[0]?.ids.length, 11);
});

test('a version is the adapter that the server was started with; each request says all scales', async () => {
  await using opened = await open({ adapters: ['/elsewhere/policies/other/adapter.gguf', '/elsewhere/policies/third/adapter.gguf'] });
  const { backend, server } = opened;
  assert.equal(backend.capabilities().policies, true);
  await backend.loadPolicy({ version: 3, kind: 'adapter', directory: join(home, 'policies', 'third') });
  const scalesOf = async (more = {}) => {
    const { kept } = await opened.chat({ max_tokens: 2 }, more);
    return [server.asked.at(-1)?.lora?.map(({ scale }) => scale), server.asked.at(-1)?.cache_prompt, kept[0]?.versions[0]];
  };
  assert.deepEqual(await scalesOf(), [[0, 0], false, 0]);
  assert.deepEqual(await scalesOf({ version: 3 }), [[0, 1], false, 3]);
  await backend.setCurrent(3);
  assert.deepEqual(await scalesOf(), [[0, 1], false, 3]);
  await assert.rejects(backend.loadPolicy({ version: 4, kind: 'adapter', directory: join(home, 'policies', 'fourth') }), /convert_lora_to_gguf\.py .*fourth/);
  await backend.unloadPolicy(3);
  await assert.rejects(scalesOf({ version: 3 }), /not loaded/);
});

test('what cannot be exact is refused at the start, with what to do', async () => {
  await assert.rejects(open({ speculative: 'draft' }), /speculatively.*start it without/);
  await assert.rejects(open({}, new URL('../../../../examples/calculator/model', import.meta.url).pathname), /other tokens than backend\.model/);
});

test('forms are asked for by a grammar; those that it cannot hold are refused', async () => {
  await using opened = await open();
  const schema = { type: 'object', properties: { a: { type: 'boolean' } }, required: ['a'], additionalProperties: false };
  const seen = await opened.chat({ max_tokens: 4, response_format: { type: 'json_schema', json_schema: { name: 'a', schema } } });
  assert.match(opened.server.asked.at(-1)?.grammar ?? '', /^root ::= json0-root\n/);
  assert.equal(seen.kept[0]?.quarantine, 'raw_logprobs');
  const strict = [{ type: 'function', function: { name: 'f', strict: true, parameters: schema } }];
  await assert.rejects(opened.chat({ tools: strict }), /cannot hold.*strict/);
});

test('a request that the server refuses is its error, with its status, streamed or whole', async () => {
  await using opened = await open({ refusal: 'failed to parse grammar' });
  const response_format = { type: 'json_schema', json_schema: { name: 'a', schema: { type: 'object' } } };
  for (const stream of [false, true]) {
    await assert.rejects(opened.backend.chat(chatCall({ model: 'chain', messages: [{ role: 'user', content: 'Hi' }], stream, response_format }), new AbortController().signal),
      (error) => error instanceof UpstreamError && error.status === 400 && error.message === 'failed to parse grammar');
  }
});
