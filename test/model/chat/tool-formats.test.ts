import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { readToolCalls, type FunctionTool, type ToolCallEvent, type ToolFormat } from '../../../model/chat/tool-calls.ts';
import { toolFormats } from '../../../model/chat/tool-formats.ts';

const tools: readonly FunctionTool[] = [{ name: 'f', strict: false, parameters: { type: 'object', properties: { s: { type: 'string' }, n: { type: 'number' }, l: { type: 'array' } } } }];

interface Case {
  readonly text: string;
  readonly content?: string;
  readonly calls: readonly (readonly [name: string, args: unknown])[];
}

const read: Readonly<Record<string, readonly Case[]>> = {
  'llama-json': [
    { text: '{"name": "f", "parameters": {"s": "a}b", "n": 1}}', calls: [['f', { s: 'a}b', n: 1 }]] },
    { text: ' {"name": "f", "parameters": {}} ; {"name": "g", "arguments": {"x": null}}\n', calls: [['f', {}], ['g', { x: null }]] },
    { text: '{"type": "function", "name": "f", "parameters": {"n": 2}}', calls: [['f', { n: 2 }]] },
    ...['{"name": "f"}', '{"name": "f", "parameters": {}} and more', '{"name": "f", "parameters": {}', '{"answer": 3}', 'Sure: {"name": "f", "parameters": {}}', '{', ''].map((text) => ({ text, content: text, calls: [] })),
  ],
  pythonic: [
    { text: '[f(s=\'it\\\'s "x"\\n\', n=-1.5e3, l=[1, None, (True,), {"k": False}])]', calls: [['f', { s: 'it\'s "x"\n', n: -1500, l: [1, null, [true], { k: false }] }]] },
    { text: '[f(), g.h( x = "\\u00e9" ,)]', calls: [['f', {}], ['g.h', { x: 'é' }]] },
    { text: '\n[f(n=1_000)]\n', calls: [['f', { n: 1000 }]] },
    ...['[f(1)]', '[f(x=y)]', '[f(', '[1, 2]', '[f()] done', 'f()', '[]', '[f(s="a)]', '[ f', ''].map((text) => ({ text, content: text, calls: [] })),
  ],
  'qwen-coder': [
    { text: '<tool_call>\n<function=f>\n<parameter=s>\ntwo\nlines\n</parameter>\n<parameter=n>\n3\n</parameter>\n<parameter=l>\n["x"]\n</parameter>\n</function>\n</tool_call>', calls: [['f', { s: 'two\nlines', n: 3, l: ['x'] }]] },
    { text: 'First.\n<tool_call><function=f><parameter=s>12</parameter></function></tool_call>\n<tool_call>\n<function=other>\n<parameter=x>\nno json\n</parameter>\n</function>\n</tool_call>', content: 'First.', calls: [['f', { s: '12' }], ['other', { x: 'no json' }]] },
    { text: '<tool_call>\n<function=f>\n</function>\n</tool_call>', calls: [['f', {}]] },
    ...['<tool_call>{"name": "f"}</tool_call>', '<tool_call>\n<function=f>', 'a <tool_call>', '<tool_call>\n<func'].map((text) => ({ text, content: text, calls: [] })),
  ],
};

for (const [name, cases] of Object.entries(read)) {
  const format = toolFormats[name as keyof typeof toolFormats]; // the names above
  test(`${name}: calls are read, and what is none is text as written`, () => {
    for (const { text, content = '', calls } of cases) {
      const said = readToolCalls(format.newReader(tools), text);
      assert.deepEqual({ content: said.content, calls: said.toolCalls.map((call) => [call.name, JSON.parse(call.argumentsJson)]) }, { content, calls: [...calls] }, text);
    }
  });

  test(`${name}: however the text is cut, the same is read`, () => {
    const pieces = fc.array(fc.constantFrom(...cases.map(({ text }) => text), '[', '(', ')', ']', '{', '}', '"', 'f', ' ', ';', '=', ',', '<tool_call>', '</function>', '</tool_call>', 'x'), { maxLength: 5 });
    fc.assert(fc.property(pieces, fc.infiniteStream(fc.integer({ min: 1, max: 9 })), (parts, sizes) => {
      const text = parts.join('');
      assert.deepEqual(joined(cut(format, text, sizes)), joined(cut(format, text, [text.length + 1])), text);
    }), { numRuns: 300 });
  });
}

function cut(format: ToolFormat, text: string, sizes: Iterable<number>): ToolCallEvent[] {
  const reader = format.newReader(tools);
  const events: ToolCallEvent[] = [];
  let at = 0;
  for (const size of sizes) {
    if (at >= text.length) break;
    events.push(...reader.push(text.slice(at, at + size)));
    at += size;
  }
  return [...events, ...reader.end()];
}

function joined(events: readonly ToolCallEvent[]): unknown {
  const calls = events.flatMap((event) => (event.type === 'call' ? [[event.index, event.name]] : []));
  const text = (type: 'text' | 'arguments') => events.map((event) => (event.type === type ? event.text : '')).join('');
  return [calls, text('text'), text('arguments')];
}
