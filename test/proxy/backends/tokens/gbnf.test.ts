import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toolFormats } from '../../../../model/chat/tool-formats.ts';
import { gbnf, isContextFree } from '../../../../proxy/backends/tokens/gbnf.ts';

const add = { name: 'add', parameters: { type: 'object', properties: { first_term: { type: 'integer' } }, required: ['first_term'], additionalProperties: false }, strict: false };

test('rules have names that GBNF takes, and each is there once', () => {
  const text = gbnf(toolFormats.hermes.callsGrammar([add, { ...add, name: 'mul' }], false));
  const names = text.split('\n').map((line) => line.split(' ::= ')[0] ?? '');
  assert.equal(new Set(names).size, names.length);
  for (const name of names) assert.match(name, /^[A-Za-z][A-Za-z0-9-]*$/);
  assert.match(text, /^root ::= /);
  assert.match(text, /"<tool_call>\\n\{\\"name\\": \\"add\\", \\"arguments\\": "/);
  // Quoted texts and sets of characters are as they were.
  assert.match(text, /"\\u0022first_term\\u0022"/);
  assert.match(text, /\[\^"\\\\\\x00-\\x1f\]/);
});

test('what needs a lexer is told apart', () => {
  const tagged = { type: 'tagged', begin: '<think>', content: { type: 'any' }, end: '</think>' } as const;
  assert.equal(isContextFree({ type: 'sequence', parts: [tagged, { type: 'json', schema: true }] }), false);
  assert.equal(isContextFree(toolFormats.hermes.callsGrammar([add], true)), true);
  const strict = toolFormats.hermes.textGrammar([add]);
  assert.ok(strict !== null && !isContextFree(strict));
  assert.throws(() => gbnf(tagged), RangeError);
});
