/** Every template and conversation as transformers renders it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { createChatTemplate } from '../../../model/chat/create.ts';
import type { ChatMessage, ChatTemplate } from '../../../model/chat/template.ts';
import { createTokenizer } from '../../../model/tokenizer/create.ts';
import type { Tokenizer } from '../../../model/tokenizer.ts';

const fixtures = new URL('../../fixtures/golden/', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, fixtures), 'utf8');

interface Golden {
  date_string: string;
  conversations: Record<string, { messages: ChatMessage[]; tools: unknown[] | null }>;
  cases: {
    template: string;
    conversation: string;
    tokenizer: string;
    kwargs: { add_generation_prompt: boolean; enable_thinking?: boolean };
    text?: string;
    ids?: number[];
    error?: string;
  }[];
}
const golden = JSON.parse(read('chat/chat.json')) as Golden;

const tokenizers = new Map<string, Tokenizer>();
function tokenizerOf(kind: string): Tokenizer {
  const known = tokenizers.get(kind) ?? createTokenizer(JSON.parse(read(`tokenizers/${kind}/tokenizer.json`)), JSON.parse(read(`tokenizers/${kind}/tokenizer_config.json`)), kind);
  tokenizers.set(kind, known);
  return known;
}

for (const name of new Set(golden.cases.map((c) => c.template))) {
  test(`${name}: text, ids and refusals equal transformers'`, () => {
    const templates = new Map<string, ChatTemplate>();
    for (const { conversation, tokenizer: kind, kwargs, text, ids, error } of golden.cases.filter((c) => c.template === name)) {
      const tokenizer = tokenizerOf(kind);
      const template = templates.get(kind) ?? createChatTemplate({ plain: read(`chat/templates/${name}.jinja`) }, tokenizer);
      templates.set(kind, template);
      const { messages, tools } = golden.conversations[conversation] ?? assert.fail();
      const { add_generation_prompt: addGenerationPrompt, ...variables } = kwargs;
      const render = (): string => template.render({ messages, ...(tools && { tools }), addGenerationPrompt, variables: { ...variables, date_string: golden.date_string } });
      if (error === undefined) {
        const rendered = render();
        assert.equal(rendered, text, conversation);
        if (ids) assert.deepEqual([...tokenizer.encode(rendered)], ids, conversation);
      } else if (error.startsWith('TemplateError: ')) {
        assert.throws(render, { name: 'ChatTemplateError', code: 'render_failed', message: error.slice('TemplateError: '.length) }, conversation);
      } else {
        assert.throws(render, { name: 'ChatTemplateError', code: 'render_failed' }, `${conversation}: ${error}`);
      }
    }
  });
}
