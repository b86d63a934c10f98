import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { embeddedBackendSchema } from '../../../../config/schema.ts';
import { openText } from '../../../../model/open.ts';
import { startEmbedded } from '../../../../proxy/backends/embedded/start.ts';
import { createLog } from '../../../../proxy/log.ts';
import { chatCall, outcome } from '../answers.ts';
import { writeChainModel } from './chain-model.ts';

const home = mkdtempSync(join(tmpdir(), 'fulgurite-'));
after(() => { rmSync(home, { recursive: true }); });
const model = writeChainModel(join(home, 'chain'));
const { tokenizer, chatTemplate } = openText(model);
const backend = await startEmbedded(embeddedBackendSchema.parse({ kind: 'embedded', model, maxContext: 512, threads: 1 }), { cacheDir: join(home, 'cache'), adapterTargets: [] }, createLog('silent'));
after(() => backend.close());

const chat = async (body: object, rollout = 'ro_1') => outcome(await backend.chat(chatCall({ model: 'chain', ...body }, { rollout }), new AbortController().signal));
const user = (content: string) => ({ role: 'user', content });

test('three turns of a conversation are one sequence of the ids that were sampled', async () => {
  for (const [seed, stream] of [[1, false], [2, true]] as const) {
    const messages: object[] = [user('Hi')];
    let known: number[] = [];
    for (let turn = 0; turn < 3; turn++) {
      const { choices, kept } = await chat({ messages, stream, seed, max_tokens: 25, temperature: 1.4 });
      const prompt = kept[0]?.promptTokenIds ?? [];
      assert.deepEqual(prompt.slice(0, known.length), known);
      known = [...prompt, ...kept[0]?.ids ?? []];
      messages.push({ role: 'assistant', content: choices[0]?.content }, user('And?'));
    }
    const { prompt_tokens_reused: reused = 0, prompt_tokens: readTokens = 0, prefix_hit_rate: rate } = await backend.stats();
    assert.ok(reused > 0);
    assert.equal(rate, reused / (reused + readTokens));
    // A hot model writes words letter by letter: its text, encoded again, is something else.
    const text = chatTemplate.render({ messages: messages as never, addGenerationPrompt: true });
    assert.notDeepEqual([...tokenizer.encode(text)].slice(0, known.length), known);
  }
});

test('a call and its result; what was sampled for another rollout, or with other tools, is not this conversation', async () => {
  const tools = [{ type: 'function', function: { name: 'add', parameters: { type: 'object' } } }];
  const first = await chat({ messages: [user('Add')], tools, temperature: 0 });
  const [call] = first.choices[0]?.toolCalls ?? [];
  const sampled = [...first.kept[0]?.promptTokenIds ?? [], ...first.kept[0]?.ids ?? []];
  const history = [
    user('Add'),
    // As a client writes it that parses arguments and prints them again.
    { role: 'assistant', content: null, tool_calls: [{ id: call?.id, type: 'function', function: { name: 'add', arguments: JSON.stringify(JSON.parse(call?.arguments ?? '')) } }] },
    { role: 'tool', tool_call_id: call?.id, content: '3' },
  ];
  const startsSo = async (more: object, rollout?: string) => {
    const { kept, choices } = await chat({ messages: history, temperature: 0, max_tokens: 5, ...more }, rollout);
    return [(kept[0]?.promptTokenIds ?? []).slice(0, sampled.length).join() === sampled.join(), choices[0]?.content];
  };
  assert.deepEqual(await startsSo({ tools }), [true, 'It is 3.']);
  assert.deepEqual(await startsSo({ tools }, 'ro_2'), [false, 'It is 3.']);
  assert.deepEqual(await startsSo({ tools: [...tools, ...tools] }), [false, 'It is 3.']);
});

test('an answer that a stop string cut is what its client has of it', async () => {
  const first = await chat({ messages: [user('Hi')], stop: ['and'], temperature: 0 });
  assert.equal(first.choices[0]?.content, 'Red, Blue ');
  const messages = [user('Hi'), { role: 'assistant', content: 'Red, Blue ' }, user('And?')];
  const second = await chat({ messages, temperature: 0 });
  assert.deepEqual(second.kept[0]?.promptTokenIds, [...tokenizer.encode(chatTemplate.render({ messages, addGenerationPrompt: true }))]);
});
