import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createChatTemplate } from '../../../../model/chat/create.ts';
import { ChatTemplateError, type ChatMessage, type RenderOptions } from '../../../../model/chat/template.ts';
import { createTokenizer } from '../../../../model/tokenizer/create.ts';
import { continuation, type PromptText } from '../../../../proxy/backends/tokens/continuation.ts';

const golden = new URL('../../../fixtures/golden/', import.meta.url).pathname;
const call = { id: 'call_1', type: 'function', function: { name: 'weather', arguments: { city: 'Köln', days: [1, 2] } } };
const tools = [{ type: 'function', function: { name: 'weather', description: 'Of a city', parameters: { type: 'object', properties: { city: { type: 'string' } } } } }];

/** The last message but one was sampled; the conversation goes on after it. */
const conversations: Record<string, { readonly messages: readonly ChatMessage[]; readonly sampled: number; readonly tools?: readonly unknown[] }> = {
  words: { messages: [{ role: 'user', content: 'Two colours?' }, { role: 'assistant', content: 'Red, and "Blue":\n  12345.' }, { role: 'user', content: 'More!' }], sampled: 1 },
  system: { messages: [{ role: 'system', content: 'Be short.' }, { role: 'user', content: 'Hi' }, { role: 'assistant', content: 'Hello.' }, { role: 'user', content: 'Bye' }, { role: 'assistant', content: 'Good day.' }, { role: 'user', content: 'So?' }], sampled: 4 },
  tool: { messages: [{ role: 'user', content: 'Rain?' }, { role: 'assistant', content: '', tool_calls: [call] }, { role: 'tool', tool_call_id: 'call_1', name: 'weather', content: '{"rain": true}' }], sampled: 1, tools },
};
/** Template, tokenizer, the tokens that end an answer. */
const families = [
  ['chatml', 'qwen', ['<|im_end|>']], ['chatml', 'gpt2-digits', ['<|im_end|>']], ['qwen2_5', 'qwen', ['<|im_end|>', '<|endoftext|>']], ['qwen3', 'qwen', ['<|im_end|>']],
  ['qwen3_instruct_2507', 'qwen', ['<|im_end|>']], ['llama3', 'llama3', ['<|eot_id|>']], ['llama3_1', 'llama3', ['<|end_of_text|>', '<|eom_id|>', '<|eot_id|>']],
  ['llama3_2', 'llama3', ['<|eot_id|>']], ['gemma', 'gemma-spm', ['<eos>', '<end_of_turn>']], ['gemma3', 'gemma-spm', ['<end_of_turn>']],
] as const;

const read = (...path: readonly string[]): string => readFileSync(join(golden, ...path), 'utf8');

function open(template: string, kind: string, ends: readonly string[]): PromptText {
  const tokenizer = createTokenizer(JSON.parse(read('tokenizers', kind, 'tokenizer.json')), JSON.parse(read('tokenizers', kind, 'tokenizer_config.json')), kind);
  const chatTemplate = createChatTemplate({ plain: read('chat', 'templates', `${template}.jinja`) }, tokenizer);
  return { tokenizer, chatTemplate, stopTokenIds: ends.map((end) => tokenizer.tokenId(end) ?? assert.fail(end)) };
}

/** What the model was asked, what it then wrote, and the request that has this in its history; null where the template does not take such messages. */
function turnsOf({ chatTemplate, tokenizer, stopTokenIds }: PromptText, name: string) {
  const { messages, sampled, tools: given } = conversations[name] ?? assert.fail(name);
  const options = { ...(given ? { tools: given } : {}), messages, addGenerationPrompt: true };
  const [asked, said, rendered] = [
    { ...options, messages: messages.slice(0, sampled) }, { ...options, messages: messages.slice(0, sampled + 1), addGenerationPrompt: false }, options,
  ].map((some: RenderOptions) => {
    try {
      return chatTemplate.render(some);
    } catch (error) {
      if (error instanceof ChatTemplateError) return '';
      throw error;
    }
  });
  if (!asked || !said?.startsWith(asked) || !rendered) return null;
  const written = said.slice(asked.length);
  const [end] = stopTokenIds.map((id) => ({ id, at: written.lastIndexOf(tokenizer.decode([id])) })).filter(({ at }) => at >= 0);
  if (!end?.at) return null; // not even the answer is shown
  return { options, rendered, said, prompt: tokenizer.encode(asked), answer: written.slice(0, end.at), end: end.id, turns: sampled + 1 };
}

for (const [template, kind, ends] of families) {
  const text = open(template, kind, ends);
  for (const name of Object.keys(conversations)) {
    const turn = turnsOf(text, name);
    if (!turn) continue;
    const { tokenizer } = text;
    const { options, rendered, said, prompt, answer, end, turns } = turn;

    await test(`${template}, ${kind}, ${name}: sampled as it would be encoded, nothing changes`, () => {
      const tokenIds = Int32Array.of(...prompt, ...tokenizer.encode(answer), end);
      const ids = continuation(text, options, rendered, { turns, tokenIds });
      assert.ok(ids);
      // Qwen 3 writes an empty thought before its last answer only: what was sampled keeps it.
      if (rendered.startsWith(said)) assert.deepEqual([...ids], [...tokenizer.encode(rendered)]);
      else assert.match(answer, /^<think>/);
    });

    await test(`${template}, ${kind}, ${name}: sampled otherwise, it stays as it was sampled`, () => {
      const letters = Array.from(answer).flatMap((letter) => [...tokenizer.encode(letter)]);
      const tokenIds = Int32Array.of(...prompt, ...letters, end);
      assert.notDeepEqual(letters, [...tokenizer.encode(answer)], 'encoding its text anew would drift');
      const ids = continuation(text, options, rendered, { turns, tokenIds });
      assert.deepEqual([...ids ?? []].slice(0, tokenIds.length), [...tokenIds]);
      if (rendered.startsWith(said)) {
        const rest = tokenizer.encode(tokenizer.decode([end]) + rendered.slice(said.lastIndexOf(tokenizer.decode([end])) + tokenizer.decode([end]).length));
        assert.deepEqual([...ids ?? []].slice(tokenIds.length), [...rest.subarray(1)]);
      }
      // Cut off by a token limit, it has no end of its own: the template's is written.
      assert.deepEqual(continuation(text, options, rendered, { turns, tokenIds: tokenIds.subarray(0, -1) }), ids);
    });
  }
}

await test('all families and conversations but those that a template does not take', () => {
  const taken = families.flatMap(([template, kind, ends]) => Object.keys(conversations).filter((name) => turnsOf(open(template, kind, ends), name)).map((name) => `${template} ${name}`));
  assert.deepEqual(taken.filter((name) => name.endsWith('tool')), ['qwen2_5 tool', 'qwen3 tool', 'qwen3_instruct_2507 tool', 'llama3_1 tool', 'llama3_2 tool']);
  assert.equal(taken.filter((name) => name.endsWith('words')).length, families.length);
});

await test('the text counts where the template leaves out thoughts, or does not show where an answer ends', () => {
  const qwen = open('qwen3', 'qwen', ['<|im_end|>']);
  const thought = { role: 'assistant', content: 'Red.', reasoning_content: 'They want a colour.' };
  const tokenIds = Int32Array.of(1, 2, 3);
  for (const [next, isKept] of [[{ role: 'user', content: 'More!' }, false], [{ role: 'tool', content: 'Go on.' }, true]] as const) {
    const options = { messages: [{ role: 'user', content: 'A colour?' }, thought, next], addGenerationPrompt: true };
    assert.equal(continuation(qwen, options, qwen.chatTemplate.render(options), { turns: 2, tokenIds }) !== null, isKept);
  }
  const plain = { ...qwen, chatTemplate: createChatTemplate({ plain: '{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}' }, qwen.tokenizer) };
  const options = { messages: [{ role: 'user', content: 'A colour?' }, { role: 'assistant', content: 'Red.' }, { role: 'user', content: 'More!' }], addGenerationPrompt: true };
  assert.equal(continuation(plain, options, plain.chatTemplate.render(options), { turns: 2, tokenIds }), null);
});
