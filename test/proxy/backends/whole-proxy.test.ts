/** The official client → the whole proxy → a real backend → SQLite: what the client was told, and what was kept. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import OpenAI from 'openai';
import { configSchema } from '../../../config/schema.ts';
import { createLog } from '../../../proxy/log.ts';
import { startProxy } from '../../../proxy/main.ts';
import { openDatabase } from '../../../store/open.ts';
import { getStep, listSteps, type Step } from '../../../store/steps.ts';
import { writeChainModel } from './embedded/chain-model.ts';
import { fixtureServer, llamacpp, vllm } from './fixture-server.ts';

async function start(backend: (home: string) => object) {
  const home = mkdtempSync(join(tmpdir(), 'fulgurite-'));
  const config = configSchema.parse({ dataDir: join(home, 'data'), server: { port: 0 }, backend: backend(home) });
  const proxy = await startProxy(config, { env: {}, log: createLog('silent') });
  const db = openDatabase(config.dataDir, { readonly: true });
  return {
    url: proxy.url,
    client: new OpenAI({ baseURL: `${proxy.url}/v1`, apiKey: 'none', maxRetries: 0 }),
    async steps(): Promise<Step[]> {
      await proxy.settled();
      return listSteps(db, { order: 'oldest', limit: 100 }).items.flatMap(({ id }) => getStep(db, id) ?? []);
    },
    async [Symbol.asyncDispose]() {
      db.close();
      await proxy.close();
      rmSync(home, { recursive: true });
    },
  };
}

test('a tool loop of the official client runs on the embedded policy; its steps can be trained on', async () => {
  await using whole = await start((home) => ({ kind: 'embedded', model: writeChainModel(join(home, 'chain')), maxContext: 512, threads: 1 }));
  const asked: unknown[] = [];
  const runner = whole.client.chat.completions.runTools({
    model: 'chain', temperature: 1, seed: 5, stream: true,
    messages: [{ role: 'user', content: 'What is 1 and é?' }],
    tools: [{
      type: 'function',
      function: {
        name: 'add', description: 'Adds', parameters: { type: 'object', properties: {} },
        parse: (text: string) => JSON.parse(text) as object,
        function: (given: object) => { asked.push(given); return '3'; },
      },
    }],
    top_p: 0.5,
  });
  assert.equal(await runner.finalContent(), 'It is 3.');
  assert.deepEqual(asked, [{ a: 1, b: 'é' }]);

  const [call, answer, ...others] = await whole.steps();
  assert.equal(others.length, 0);
  assert.deepEqual([call?.state, call?.finishReason, answer?.state, answer?.finishReason], ['complete', 'tool_calls', 'complete', 'stop']);
  assert.equal(call?.rolloutId, answer?.rolloutId, 'one trajectory, by inference');
  for (const step of [call, answer]) {
    assert.equal(step?.quarantineReason, null);
    assert.ok((step?.completionIds?.length ?? 0) > 0);
    assert.equal(step?.completionIds?.length, step?.logprobs?.length);
    assert.deepEqual(step?.versionSpans, [{ version: 0, from: 0, to: step?.completionIds?.length }]);
    assert.deepEqual(step?.usage, { promptTokens: step?.promptIds?.length, completionTokens: step?.completionIds?.length });
  }
});

test('calls to vLLM are recorded exactly; to a server without ids as inexact', async () => {
  for (const [answer, quarantine] of [[vllm, null], [llamacpp, 'inexact']] as const) {
    await using server = await fixtureServer(answer);
    await using whole = await start(() => ({ kind: 'openai', baseUrl: server.baseUrl }));
    const body = { model: 'smollm2', messages: [{ role: 'user' as const, content: 'Name three colors.' }], temperature: 0, max_tokens: 24 };
    const plain = await whole.client.chat.completions.create(body);
    const streamed = await whole.client.chat.completions.stream(body).finalChatCompletion();
    assert.equal(streamed.choices[0]?.message.content, plain.choices[0]?.message.content);
    const { backend: said } = await (await fetch(`${whole.url}/admin/policies`)).json() as { backend: { name: string; exact: boolean } };
    assert.deepEqual([said.name, said.exact], ['openai', quarantine === null]);
    assert.match(await (await fetch(`${whole.url}/metrics`)).text(), new RegExp(`fulgurite_backend_exact ${quarantine === null ? 1 : 0}\n`));
    const steps = await whole.steps();
    assert.deepEqual(steps.map(({ state, quarantineReason }) => [state, quarantineReason]), [['complete', quarantine], ['complete', quarantine]]);
    assert.deepEqual(steps.map(({ responseId }) => responseId), [plain.id, streamed.id]);
    assert.deepEqual(steps.map(({ usage }) => usage), answer === vllm
      ? Array.from({ length: 2 }, () => ({ promptTokens: 34, completionTokens: 12 }))
      : Array.from({ length: 2 }, () => ({ promptTokens: 34, completionTokens: 24 })));
    assert.deepEqual(steps.map(({ completionIds }) => completionIds?.length), quarantine === null ? [12, 12] : [undefined, undefined]);
  }
});
