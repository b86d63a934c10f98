/** What a real vLLM was recorded to answer, through the vLLM backend: every token with its id and its log-prob, and the client's view without them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { vllmBackendSchema } from '../../../../config/schema.ts';
import { startVllm } from '../../../../proxy/backends/vllm/start.ts';
import { createLog } from '../../../../proxy/log.ts';
import { until } from '../../harness.ts';
import { chatCall, outcome } from '../answers.ts';
import { fixtureServer, vllm, type Asked, type Exchange } from '../fixture-server.ts';

const never = new AbortController().signal;
const messages = [{ role: 'user', content: 'Name three colors.' }];
const neutral = { temperature: 1, top_p: 1, top_k: -1, min_p: 0, repetition_penalty: 1 };
const weather = [{ type: 'function', function: { name: 'get_weather' } }];

const answered = (status: number, body: unknown): Exchange => ({ request: { body: null }, status, contentType: 'application/json', bytes: Buffer.from(JSON.stringify(body)) });
const recorded = (asked: Asked): Exchange => (asked.path === '/health' ? answered(200, {}) : vllm(asked));

async function connect(answer: (asked: Asked) => Exchange = recorded) {
  const server = await fixtureServer(answer);
  const backend = await startVllm(vllmBackendSchema.parse({ kind: 'vllm', baseUrls: [server.baseUrl], name: 'colors' }), createLog('silent'));
  await until(async () => (await backend.health()).ok);
  return {
    chat: async (body: object) => outcome(await backend.chat(chatCall({ model: 'colors', messages, max_tokens: 24, ...body }), never)),
    async [Symbol.asyncDispose]() {
      await backend.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

for (const [what, body, choices] of [
  ['two choices', { n: 2, temperature: 1, seed: 3 }, 2],
  ['a tool call', { tools: weather, tool_choice: 'required', temperature: 0, max_tokens: 64 }, 1],
  ['a stop string', { stop: ['Blue'], temperature: 0, max_tokens: 64 }, 1],
  ['plain text', { temperature: 0 }, 1],
] as const) {
  test(`${what}, whole and streamed: exact, and under the client's name of the model`, async () => {
    await using connected = await connect();
    for (const stream of [false, true]) {
      const seen = await connected.chat({ ...body, stream });
      assert.equal(seen.kept.length, choices);
      for (const kept of seen.kept) {
        assert.equal(kept.quarantine, null);
        assert.ok(kept.ids.length > 0);
        assert.equal(kept.ids.length, kept.logprobs.length);
        assert.equal(kept.promptTokenIds?.length, 34);
        assert.deepEqual([...new Set(kept.versions)], [0]);
        assert.ok(kept.finishReason !== null);
      }
      assert.equal(seen.keptUsage?.completionTokens, seen.kept.reduce((sum, { ids }) => sum + ids.length, 0));
      const wires = seen.body === null ? seen.chunks : [seen.body];
      assert.ok(wires.every((wire) => wire['model'] === 'colors'));
      assert.doesNotMatch(JSON.stringify(wires), /"(token_ids|prompt_token_ids)":(?!null)|"logprob":/);
    }
  });
}

/** One token of a distribution over two: log-probs of `a` and `b` at temperature 1 differ by `apart`. */
const oneToken = (model: unknown, apart: number): Exchange => answered(200, {
  id: 'chatcmpl-1', object: 'chat.completion', created: 1, model, prompt_token_ids: [1, 2],
  choices: [{
    index: 0, message: { role: 'assistant', content: 'a' }, finish_reason: 'length', token_ids: [5],
    logprobs: { content: [{ token: 'a', logprob: -0.5, bytes: [97], top_logprobs: [{ token: 'a', logprob: -0.5 }, { token: 'b', logprob: -0.5 - apart }] }] },
  }],
  usage: { prompt_tokens: 2, completion_tokens: 1, total_tokens: 3 },
});

const serverThat = (apartOf: (temperature: unknown) => number) => (asked: Asked): Exchange =>
  (asked.path.endsWith('/chat/completions') ? oneToken(asked.body['model'], apartOf(asked.body['temperature'])) : recorded(asked));

test('log-probs that ignore the temperature are not those of the distribution sampled from', async () => {
  await using connected = await connect(serverThat(() => 2));
  const at = async (temperature: number) => (await connected.chat({ temperature })).kept[0]?.quarantine;
  assert.deepEqual([await at(0.7), await at(1), await at(0)], ['raw_logprobs', null, null]);
});

test('where the server has sampling defaults of its own, what a call leaves out is unknown', async () => {
  await using connected = await connect(serverThat((temperature) => 2 / Number(temperature ?? 0.7)));
  assert.equal((await connected.chat({})).kept[0]?.quarantine, 'server_defaults');
  assert.equal((await connected.chat({ temperature: 1 })).kept[0]?.quarantine, 'server_defaults');
  assert.equal((await connected.chat(neutral)).kept[0]?.quarantine, null);

  await using plain = await connect(serverThat((temperature) => 2 / Number(temperature ?? 1)));
  assert.equal((await plain.chat({})).kept[0]?.quarantine, null);
});
