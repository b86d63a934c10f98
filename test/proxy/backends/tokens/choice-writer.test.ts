import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hermesReader } from '../../../../model/chat/hermes.ts';
import { ChoiceWriter, type WriterParts } from '../../../../proxy/backends/tokens/choice-writer.ts';

/** Tokens are the letters' code points; the end token is 0. */
function writer(parts: Partial<WriterParts> = {}): ChoiceWriter {
  const text = { push: (id: number) => String.fromCodePoint(id), end: () => '' };
  return new ChoiceWriter({ text, stop: [], stopTokenIds: new Set([0]), reasoning: null, toolCalls: null, callsFinish: 'tool_calls', parallelToolCalls: true, newCallId: () => 'call_x', ...parts });
}

function write(choice: ChoiceWriter, text: string, reason: 'stop' | 'length') {
  const written = [];
  for (const letter of text) {
    written.push(choice.push(letter.codePointAt(0) ?? 0));
    if (choice.ended) break;
  }
  if (!choice.ended) written.push(choice.finish(reason));
  return {
    content: written.map(({ content }) => content).join(''),
    calls: written.flatMap(({ toolCalls }) => toolCalls),
    finishReason: written.at(-1)?.finishReason,
    tokens: written.length,
  };
}

test('the end token has no text', () => {
  assert.equal(write(writer(), 'Hi\0', 'stop').content, 'Hi');
});

test('text held back for a stop string that does not come leaves at the end', () => {
  assert.deepEqual(write(writer({ stop: ['END'] }), 'the EN', 'length'), { content: 'the EN', calls: [], finishReason: 'length', tokens: 7 });
});

test('a stop string ends the choice at the token that completes it', () => {
  assert.deepEqual(write(writer({ stop: ['END'] }), 'the END of', 'length'), { content: 'the ', calls: [], finishReason: 'stop', tokens: 7 });
});

const call = '<tool_call>{"name": "f", "arguments": {"a": "END"}}</tool_call>';

test('a call streams as OpenAI streams them: id and name, then arguments', () => {
  const { content, calls, finishReason } = write(writer({ toolCalls: hermesReader() }), `Let me see. ${call}\0`, 'stop');
  assert.equal(content, 'Let me see.');
  assert.deepEqual(calls[0], { index: 0, id: 'call_x', type: 'function', function: { name: 'f', arguments: '' } });
  assert.deepEqual(calls[1], { index: 0, function: { arguments: '{"a": "END"}' } });
  assert.equal(finishReason, 'tool_calls');
});

test('what is cut off inside a call is text, and the reason stays "length"', () => {
  const cut = call.slice(0, 30);
  assert.deepEqual(write(writer({ toolCalls: hermesReader() }), cut, 'length'), { content: cut, calls: [], finishReason: 'length', tokens: 31 });
});

test('a stop string counts inside calls too', () => {
  const { content, calls, finishReason } = write(writer({ toolCalls: hermesReader(), stop: ['END'] }), call, 'length');
  assert.deepEqual([content, calls, finishReason], ['<tool_call>{"name": "f", "arguments": {"a": "', [], 'stop']);
});
