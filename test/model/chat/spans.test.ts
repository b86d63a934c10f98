/** What of a conversation the assistant wrote, and messages to go on with. All templates are compared with transformers in test/golden/chat.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assistantMask } from '../../../model/chat/assistant-mask.ts';
import { createChatTemplate } from '../../../model/chat/create.ts';

const templateOf = (plain: string): ReturnType<typeof createChatTemplate> => createChatTemplate({ plain }, { bosToken: null, eosToken: null });
const messages = [{ role: 'user', content: 'hi' }, { role: 'assistant', content: ' yes ' }];
const options = { messages, addGenerationPrompt: false };

const speaking = templateOf(`{%- for m in messages %}
    {%- if m.role == 'assistant' %}
{{ '<a>' }}{% generation %}
{{ m.content }}!{% endgeneration %}
    {%- else %}<u>{{ m.content }}{% endif %}
{%- endfor %}`);

test('blocks of the assistant are found, and change nothing of the text', () => {
  const { text, assistant } = speaking.renderWithSpans(options);
  assert.equal(text, '<u>hi<a> yes !');
  assert.equal(speaking.render(options), text);
  assert.deepEqual(assistant.map(([from, to]) => text.slice(from, to)), [' yes !']);
  assert.deepEqual(templateOf('{{ messages[0].content }}').renderWithSpans(options), { text: 'hi', assistant: [] });
});

test('a template that changes its blocks afterwards is refused', () => {
  const changing = templateOf(`{% set said %}{% generation %}{{ messages[1].content }}{% endgeneration %}{% endset %}{{ said | length }}`);
  assert.equal(changing.render(options), '5');
  assert.throws(() => changing.renderWithSpans(options), { code: 'render_failed', message: /generation/ });
});

test('a token is the assistant\'s if one of its characters is', () => {
  const tokens = { ids: Int32Array.of(7, 8, 9, 9), starts: Int32Array.of(0, 3, 5, 6), ends: Int32Array.of(3, 5, 6, 8) };
  assert.deepEqual([...assistantMask(tokens, [[4, 6]])], [0, 1, 1, 0]);
  assert.deepEqual([...assistantMask(tokens, [[3, 3]])], [0, 0, 0, 0]);
});

test('a prompt may end in the last message, trimmed where the template trims', () => {
  const going = { ...options, continueFinalMessage: true };
  assert.equal(speaking.render(going), '<u>hi<a> yes ');
  assert.deepEqual(speaking.renderWithSpans(going), { text: '<u>hi<a> yes ', assistant: [[8, 13]] });
  assert.equal(templateOf('{{ messages[1].content | trim }}!').render(going), 'yes');
  const parts = [{ type: 'text', text: 'a' }, { type: 'text', text: 'b' }, { type: 'image' }];
  assert.equal(templateOf('{% for part in messages[0].content %}{{ part.text }}{% endfor %}').render({ ...going, messages: [{ role: 'assistant', content: parts }] }), 'ab');
  assert.throws(() => templateOf('{{ messages[0].content }}').render(going), { code: 'render_failed', message: /does not show the end/ });
  assert.throws(() => speaking.render({ ...going, messages: [] }), { code: 'render_failed', message: /no text to continue/ });
  assert.throws(() => speaking.render({ ...going, messages: [{ role: 'assistant', content: [{ type: 'image' }] }] }), { code: 'render_failed', message: /no text to continue/ });
});
