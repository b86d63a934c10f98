import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toolFormats } from '../../../../model/chat/tool-formats.ts';
import { answerGrammar, type Thinking } from '../../../../proxy/backends/tokens/answer-grammar.ts';
import { parseChatRequest } from '../../../../proxy/dialects/chat.ts';
import { accepts } from '../../../engine/grammar/walk.ts';

const tool = (strict: boolean) => ({ type: 'function', function: { name: 'f', strict, parameters: { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] } } });
const digit = { response_format: { type: 'json_schema', json_schema: { name: 'd', schema: { enum: [1, 2] } } } };

function grammarOf(body: object, thinking: Thinking = 'none') {
  const request = parseChatRequest({ model: 'm', messages: [{ role: 'user', content: 'Hi' }], ...body });
  return answerGrammar(request, request.tools.length > 0 && request.toolChoice.kind !== 'none' ? toolFormats.hermes : null, thinking);
}

test('an answer is free unless the request says otherwise', () => {
  for (const body of [{}, { tools: [tool(false)] }, { tools: [tool(true)], tool_choice: 'none' }, { response_format: { type: 'text' } }]) assert.equal(grammarOf(body, 'tags'), null, JSON.stringify(body));
});

const call = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>';
const cases: readonly (readonly [what: string, body: object, thinking: Thinking, taken: readonly string[], refused: readonly string[]])[] = [
  ['a form', digit, 'none', ['1', '2'], ['3', '', 'a1', '<think>a</think>1']],
  ['a form after thoughts, or at once', digit, 'tags', ['1', '<think>a < b</think>1', '<think>\nso\n</think>\n\n2'], ['<think>a', 'a</think>1', '<think>a</think>', '<think>a</think>3']],
  ['a form after thoughts that the prompt opened', digit, 'open', ['so\n</think>\n\n1', '</think>2'], ['1', '<think>']],
  ['a form, or a call', { ...digit, tools: [tool(false)] }, 'none', ['1', call], ['', 'a', `${call}\n${call}`]],
  ['calls that must be', { tools: [tool(false)], tool_choice: 'required' }, 'tags', [call, `<think>x</think>\n\n${call}`, `${call}\n${call}`], ['', '1', `a${call}`]],
  ['one call that must be', { tools: [tool(false)], tool_choice: 'required', parallel_tool_calls: false }, 'none', [call], [`${call}\n${call}`]],
  ['text with calls of strict tools', { tools: [tool(true)] }, 'none', ['', 'a < b', `so ${call} and ${call}`], [call.replace('1', '"1"')]],
];

for (const [what, body, thinking, taken, refused] of cases) {
  test(what, async () => {
    const grammar = grammarOf(body, thinking);
    assert.ok(grammar !== null);
    for (const text of taken) assert.equal(await accepts(grammar, text), true, text);
    for (const text of refused) assert.equal(await accepts(grammar, text), false, text);
  });
}
