/** What a grammar of calls lets through, the reader of the same format reads. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { readToolCalls, type FunctionTool, type SaidAndCalled, type ToolFormat } from '../../../model/chat/tool-calls.ts';
import { toolFormats } from '../../../model/chat/tool-formats.ts';
import { accepts, numbers, walk } from './walk.ts';

const parameters = {
  type: 'object', required: ['mode'], additionalProperties: false, $defs: { small: { type: 'integer', minimum: 0, maximum: 9 } },
  properties: { note: { type: 'string' }, mode: { enum: ['on', 'off'] }, level: { $ref: '#/$defs/small' }, deep: { type: 'array', items: { type: ['boolean', 'null'] }, maxItems: 2 } },
};
const optional = { type: 'object', properties: { a: { type: 'integer' }, b: { type: 'boolean' } }, additionalProperties: false };
const tools: readonly FunctionTool[] = [{ name: 'switch_it', strict: true, parameters }, { name: 'maybe', strict: true, parameters: optional }];
const validators = new Map(tools.map(({ name, parameters: schema }) => [name, new Ajv2020({ allowUnionTypes: true }).compile(schema)]));

for (const [name, format] of Object.entries(toolFormats)) {
  for (const onlyOne of [true, false]) {
    test(`${name}: ${onlyOne ? 'one call' : 'one or more'}, all of them read, all valid`, async () => {
      const random = numbers(7);
      const seen = new Set<string>();
      for (let i = 0; i < 40; i++) {
        const text = await walk(format.callsGrammar(tools, onlyOne), random);
        if (text === null) continue;
        const { content, toolCalls } = readToolCalls(format.newReader(tools), text);
        for (const size of [1, 7, text.length]) assert.deepEqual(readHeld(format, text, size), { content, toolCalls }, text);
        assert.ok(content === '' && toolCalls.length > 0 && (!onlyOne || toolCalls.length === 1), text);
        for (const call of toolCalls) {
          seen.add(call.name);
          assert.ok(validators.get(call.name)?.(JSON.parse(call.argumentsJson)) === true, text);
        }
      }
      assert.equal(seen.size, 2);
    });
  }
}

/** The text in pieces, by the reader of held texts. */
function readHeld(format: ToolFormat, text: string, size: number): SaidAndCalled {
  const reader = format.newHeldReader?.(tools) ?? format.newReader(tools);
  const pieces = text.match(new RegExp(`[\\s\\S]{1,${size}}`, 'g')) ?? [];
  const events = [...pieces.flatMap((piece) => reader.push(piece)), ...reader.end()];
  return readToolCalls({ push: () => events, end: () => [] }, '');
}

test('arguments of a held call leave as they are written; cut off, they stay what they were', () => {
  const reader = toolFormats.hermes.newHeldReader?.(tools);
  assert.ok(reader !== undefined);
  assert.deepEqual(reader.push('Now <tool_call>\n{"name": "maybe", "argum'), [{ type: 'text', text: 'Now' }]);
  assert.deepEqual(reader.push('ents": {"a"'), [{ type: 'call', index: 0, name: 'maybe' }, { type: 'arguments', index: 0, text: '{"a"' }]);
  assert.deepEqual(reader.push(': {"}": "\\"}'), [{ type: 'arguments', index: 0, text: ': {"}": "\\"}' }]);
  assert.deepEqual(reader.end(), []);
});

test('text with calls: any text, but a call that begins is one', async () => {
  const grammar = toolFormats.hermes.textGrammar(tools);
  assert.ok(grammar !== null);
  const call = (args: string) => `<tool_call>\n{"name": "maybe", "arguments": ${args}}\n</tool_call>`;
  for (const text of ['', 'So <b>, or <tool.', `Now ${call('{"a": 1}')} and ${call('{}')}.`]) assert.equal(await accepts(grammar, text), true, text);
  for (const text of [call('{"c": 1}'), '<tool_call>\n{"name": "other", "arguments": {}}\n</tool_call>', '<tool_call>']) assert.equal(await accepts(grammar, text), false, text);
});
