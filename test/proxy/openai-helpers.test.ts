/** The official client's own helpers against the embedded engine: they check what they are given. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import OpenAI from 'openai';
import { zodFunction, zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { configSchema } from '../../config/schema.ts';
import { createLog } from '../../proxy/log.ts';
import { startProxy } from '../../proxy/main.ts';
import { writeChainModel } from './backends/embedded/chain-model.ts';

const Weather = z.object({ city: z.enum(['Oslo', 'Rome']), celsius: z.number().int().min(-30).max(45), wind: z.union([z.null(), z.object({ from: z.enum(['N', 'S']) })]) });
const Add = z.object({ a: z.number().int().min(0).max(9), b: z.number().int().min(0).max(9) });
const messages = [{ role: 'user' as const, content: 'Hi' }];

describe('openai-node\'s helpers', () => {
  const home = mkdtempSync(join(tmpdir(), 'fulgurite-'));
  let proxy: Awaited<ReturnType<typeof startProxy>>;
  let client: OpenAI;
  before(async () => {
    const config = configSchema.parse({
      dataDir: join(home, 'data'), server: { port: 0 }, trainer: { enabled: false },
      backend: { kind: 'embedded', model: writeChainModel(join(home, 'chain')), maxContext: 2048, threads: 1 },
    });
    proxy = await startProxy(config, { env: {}, log: createLog('silent') });
    client = new OpenAI({ baseURL: `${proxy.url}/v1`, apiKey: 'none', maxRetries: 0 });
  });
  after(async () => {
    await proxy.close();
    rmSync(home, { recursive: true });
  });

  test('parse: an object of the schema', async () => {
    const { choices } = await client.chat.completions.parse({ model: 'chain', messages, n: 4, seed: 1, response_format: zodResponseFormat(Weather, 'weather') });
    for (const { message } of choices) assert.deepEqual(Weather.parse(message.parsed), message.parsed);
  });

  test('parse: the arguments of a strict tool', async () => {
    const { choices } = await client.chat.completions.parse({ model: 'chain', messages, seed: 1, tools: [zodFunction({ name: 'add', parameters: Add })], tool_choice: 'required', parallel_tool_calls: false });
    const [call] = choices[0]?.message.tool_calls ?? [];
    assert.ok(call?.type === 'function');
    assert.deepEqual(Add.parse(call.function.parsed_arguments), JSON.parse(call.function.arguments));
  });

  test('stream: pieces add up to the parsed object', async () => {
    const stream = client.chat.completions.stream({ model: 'chain', messages, seed: 2, response_format: zodResponseFormat(Weather, 'weather') });
    let text = '';
    stream.on('content.delta', ({ delta }) => { text += delta; });
    const { choices } = await stream.finalChatCompletion();
    assert.deepEqual(choices[0]?.message.parsed, Weather.parse(JSON.parse(text)));
  });

  test('stream: a tool\'s arguments add up', async () => {
    const stream = client.chat.completions.stream({ model: 'chain', messages, seed: 2, tools: [zodFunction({ name: 'add', parameters: Add })], tool_choice: 'required', parallel_tool_calls: false });
    const done: string[] = [];
    stream.on('tool_calls.function.arguments.done', ({ name, arguments: text }) => done.push(`${name}(${text})`));
    const { choices } = await stream.finalChatCompletion();
    const [call] = choices[0]?.message.tool_calls ?? [];
    assert.ok(call?.type === 'function');
    Add.parse(call.function.parsed_arguments);
    assert.deepEqual(done, [`add(${call.function.arguments})`]);
    assert.equal(choices[0]?.finish_reason, 'tool_calls');
  });

  for (const stream of [false, true]) {
    test(`runTools: a strict tool is called, its result is answered${stream ? ', streamed' : ''}`, async () => {
      const given: z.infer<typeof Add>[] = [];
      const tool = zodFunction({ name: 'add', parameters: Add, function: (args) => { given.push(args); return String(args.a + args.b); } });
      const body = { model: 'chain', messages, seed: 3, temperature: 0.2, tools: [tool] };
      const runner = stream ? client.chat.completions.runTools({ ...body, stream: true }) : client.chat.completions.runTools(body);
      assert.equal(await runner.finalContent(), 'It is 3.');
      assert.equal(given.length, 1);
      Add.parse(given[0]);
    });
  }
});
