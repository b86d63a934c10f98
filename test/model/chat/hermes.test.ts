import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { hermesReader, parseHermes } from '../../../model/chat/hermes.ts';
import type { ToolCallEvent } from '../../../model/chat/tool-calls.ts';

test('text and calls are told apart; arguments stay as the model wrote them', () => {
  const text = 'Let me see.\n<tool_call>\n{"name": "calc", "arguments": {"x" :1.0,  "s":"a}\\"b"}}\n</tool_call>\n<tool_call>{"arguments":{},"name":"now"}</tool_call>\n';
  assert.deepEqual(parseHermes(text), {
    content: 'Let me see.',
    toolCalls: [
      { name: 'calc', argumentsJson: '{"x" :1.0,  "s":"a}\\"b"}' },
      { name: 'now', argumentsJson: '{}' },
    ],
  });
});

test('a closing tag inside a string does not end the call', () => {
  assert.deepEqual(parseHermes('<tool_call>{"name":"f","arguments":{"x":"</tool_call>"}}</tool_call>'), { content: '', toolCalls: [{ name: 'f', argumentsJson: '{"x":"</tool_call>"}' }] });
});

test('text around calls keeps its inner whitespace', () => {
  const call = '<tool_call>{"name":"f","arguments":{}}</tool_call>';
  assert.equal(parseHermes(`before \n${call}\n after\n\n`).content, 'before \n\n after');
  assert.equal(parseHermes('no call \n\n').content, 'no call \n\n');
});

const notCalls: Record<string, string> = {
  'never closed': '<tool_call>{"name":"f","arguments":{}}',
  'cut inside the arguments': 'so <tool_call>\n{"name":"f","arguments":{"a": "b',
  'not JSON': '<tool_call>{name: f}</tool_call>',
  'not an object': '<tool_call>[1]</tool_call> ',
  'no name': '<tool_call>{"arguments":{}}</tool_call>',
  'no arguments': '<tool_call>{"name":"f"}</tool_call>',
  'arguments that are no object': '<tool_call>{"name":"f","arguments":"{}"}</tool_call>',
  'something after the object': '<tool_call>{"name":"f","arguments":{}} x</tool_call>',
  'a bracket too many': '<tool_call>{"name":"f","arguments":{}}}</tool_call>',
  'part of a tag': 'a <tool_ca',
};
for (const [what, text] of Object.entries(notCalls)) {
  test(`${what}: text, exactly as written`, () => assert.deepEqual(parseHermes(text), { content: text, toolCalls: [] }));
}

test('a call after a broken one is still read', () => {
  assert.deepEqual(parseHermes('<tool_call><tool_call>{"name":"f","arguments":{}}</tool_call>'), { content: '<tool_call>', toolCalls: [{ name: 'f', argumentsJson: '{}' }] });
  assert.deepEqual(parseHermes('<tool_call>{"a": "\n</tool_call><tool_call>{"name":"f","arguments":{}}</tool_call>').toolCalls.length, 1);
});

test('text leaves as soon as it cannot be part of a call', () => {
  const reader = hermesReader();
  assert.deepEqual(reader.push('Hi <'), [{ type: 'text', text: 'Hi' }]);
  assert.deepEqual(reader.push('b> <tool'), [{ type: 'text', text: ' <b>' }]);
  assert.deepEqual(reader.push('_call>x'), [{ type: 'text', text: ' <tool_call>' }, { type: 'text', text: 'x' }]);
  assert.deepEqual(reader.push('<tool_call>{"name":"f","arguments":{}} y').map((event) => event.type === 'text' && event.text).join(''), '<tool_call>{"name":"f","arguments":{}} y');
  assert.deepEqual(reader.push('<tool_call>{"name":"f","arguments":{"a":1}}</tool_call'), []);
  assert.deepEqual(reader.push('>'), [{ type: 'call', index: 0, name: 'f' }, { type: 'arguments', index: 0, text: '{"a":1}' }]);
});

/** Texts full of tags, brackets and quotes, valid calls among them. */
const callText = fc.tuple(fc.string({ maxLength: 5 }), fc.dictionary(fc.string({ maxLength: 4 }), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 }), fc.constantFrom('', ' ', '\n'))
  .map(([name, args, space]) => `<tool_call>${space}${JSON.stringify({ name, arguments: args }, null, space)}${space}</tool_call>`);
const pieces = fc.array(fc.oneof(callText, fc.constantFrom('<tool_call>', '</tool_call>', '<tool', '_call>', '{', '}', '"', '\\', ' ', '\n', 'word', '{"name":"f","arguments":{')), { maxLength: 10 });

function joined(events: readonly ToolCallEvent[]): { content: string; toolCalls: { name: string; argumentsJson: string }[] } {
  let content = '';
  const toolCalls: { name: string; argumentsJson: string }[] = [];
  for (const event of events) {
    if (event.type === 'text') content += event.text;
    else if (event.type === 'call') assert.equal(toolCalls.push({ name: event.name, argumentsJson: '' }), event.index + 1);
    else toolCalls.at(event.index)!.argumentsJson += event.text;
  }
  return { content, toolCalls };
}

test('however the text is cut, the same is read', () => {
  fc.assert(
    fc.property(pieces, fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 }), (parts, cuts) => {
      const text = parts.join('');
      const reader = hermesReader();
      const events: ToolCallEvent[] = [];
      for (let at = 0, i = 0; at < text.length; i++) {
        const length = cuts[i % cuts.length]!;
        events.push(...reader.push(text.slice(at, at + length)));
        at += length;
      }
      events.push(...reader.end());
      assert.deepEqual(joined(events), parseHermes(text));
    }),
    { numRuns: 2000 },
  );
});

test('nothing is lost: without a valid call all is content, and between calls every word is', () => {
  fc.assert(
    fc.property(pieces, (parts) => {
      const { content, toolCalls } = parseHermes(parts.join(''));
      if (toolCalls.length === 0) assert.equal(content, parts.join(''));
    }),
    { numRuns: 500 },
  );
  const word = fc.constantFrom('word', ' ', '\n', '<', '<tool_', '</tool_call>', '{"name"', '}');
  fc.assert(
    fc.property(fc.array(fc.oneof(callText, word), { maxLength: 10 }), (parts) => {
      const isCall = (part: string): boolean => part.startsWith('<tool_call>');
      const words = parts.filter((part) => !isCall(part)).join('');
      const calls = parts.filter(isCall).length;
      const read = parseHermes(parts.join(''));
      assert.equal(read.toolCalls.length, calls);
      assert.equal(read.content, calls > 0 ? words.trimEnd() : words);
    }),
    { numRuns: 500 },
  );
});

test('valid calls are all read, with the arguments they were given', () => {
  fc.assert(
    fc.property(fc.array(fc.record({ name: fc.string(), args: fc.dictionary(fc.string(), fc.jsonValue()) }), { maxLength: 4 }), (calls) => {
      const text = calls.map(({ name, args }) => `<tool_call>${JSON.stringify({ name, arguments: args })}</tool_call>`).join('\n');
      assert.deepEqual(parseHermes(text).toolCalls, calls.map(({ name, args }) => ({ name, argumentsJson: JSON.stringify(args) })));
    }),
  );
});
