import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createChatTemplate } from '../../../model/chat/create.ts';
import { strftime } from '../../../model/chat/python.ts';

const none = { bosToken: null, eosToken: null };
const render = (source: string, variables: Record<string, unknown> = {}): string => createChatTemplate({ plain: source }, none).render({ messages: [], addGenerationPrompt: false, variables });

test('tools are seen as null when there are none, and usesTools tells whether the template looks', () => {
  assert.equal(render('{% if tools is none %}no{% else %}yes{% endif %}'), 'no');
  assert.equal(createChatTemplate({ plain: '{{ messages[0].toolset }}' }, none).usesTools, false);
  assert.equal(createChatTemplate({ plain: '{% for t in tools %}{{ t | tojson }}{% endfor %}' }, none).usesTools, true);
});

test('tojson writes like json.dumps(ensure_ascii=False)', () => {
  assert.equal(render('{{ v | tojson }}', { v: { a: [1, 'ü<&>', null, true], b: {} } }), '{"a": [1, "ü<&>", null, true], "b": {}}');
});

test("strip takes its characters, as Python's does", () => {
  assert.equal(render("{{ v.strip('\\n') }}", { v: '\n x \n' }), ' x ');
  assert.equal(render("{{ v.lstrip('ab') }}|{{ v.rstrip('ab') }}", { v: 'ab ab ab' }), ' ab ab|ab ab ');
  assert.equal(render('[{{ v.strip() }}]', { v: ' \n x ' }), '[x]');
});

test("a template's variables cannot replace the messages", () => {
  const template = createChatTemplate({ plain: '{{ messages[0].content }}{{ extra }}' }, none);
  assert.equal(template.render({ messages: [{ role: 'user', content: 'mine' }], addGenerationPrompt: false, variables: { messages: [], extra: '!' } }), 'mine!');
});

test('special tokens are known where the tokenizer has them', () => {
  const source = '{{ bos_token }}x{{ eos_token }}';
  assert.equal(createChatTemplate({ plain: source }, { bosToken: '<s>', eosToken: '</s>' }).render({ messages: [], addGenerationPrompt: false }), '<s>x</s>');
  assert.equal(createChatTemplate({ plain: source }, none).render({ messages: [], addGenerationPrompt: false }), 'x');
});

test('a template of its own for tools is used when there are tools', () => {
  const template = createChatTemplate({ plain: 'plain', withTools: '{{ tools | length }} tools' }, none);
  assert.equal(template.usesTools, true);
  assert.equal(template.render({ messages: [], addGenerationPrompt: false }), 'plain');
  assert.equal(template.render({ messages: [], tools: [], addGenerationPrompt: false }), 'plain');
  assert.equal(template.render({ messages: [], tools: [{}, {}], addGenerationPrompt: false }), '2 tools');
});

test('errors: a broken template, a raised exception, an object joined to text', () => {
  assert.throws(() => createChatTemplate({ plain: '{% if %}' }, none), { name: 'ChatTemplateError', code: 'invalid_template' });
  assert.throws(() => render("{{ raise_exception('Roles must alternate') }}"), { name: 'ChatTemplateError', code: 'render_failed', message: 'Roles must alternate' });
  const joining = createChatTemplate({ plain: "{{ 'args: ' + messages[0].content }}" }, none);
  assert.throws(() => joining.render({ messages: [{ role: 'user', content: { a: 1 } }], addGenerationPrompt: false }), { code: 'render_failed', message: /as a string/ });
  assert.equal(joining.render({ messages: [{ role: 'user', content: '[object Map]' }], addGenerationPrompt: false }), 'args: [object Map]');
});

test('strftime speaks English whatever the locale', () => {
  const date = new Date(2024, 6, 5, 9, 8, 7);
  assert.equal(strftime(date, '%d %b %Y, %A %B %H:%M:%S %y 100%% %q'), '05 Jul 2024, Friday July 09:08:07 24 100% %q');
});
