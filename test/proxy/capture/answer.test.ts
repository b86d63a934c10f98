import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answersOfBody, answersOfChunks } from '../../../proxy/capture/answer.ts';

const chunk = (index: number, delta: object) => JSON.stringify({ choices: [{ index, delta }] });

test('deltas of interleaved choices and parallel tool calls come together', () => {
  const answers = answersOfChunks([
    chunk(0, { role: 'assistant', content: '' }),
    chunk(1, { content: 'other' }),
    chunk(0, { content: 'one ' }),
    chunk(0, { content: 'two' }),
    chunk(0, { tool_calls: [{ index: 0, id: 'a', function: { name: 'f', arguments: '' } }] }),
    chunk(0, { tool_calls: [{ index: 1, id: 'b', function: { name: 'g', arguments: '{' } }] }),
    chunk(0, { tool_calls: [{ index: 0, function: { arguments: '{}' } }, { index: 1, function: { arguments: '}' } }] }),
    JSON.stringify({ choices: [], usage: {} }),
    'not json',
  ]);
  assert.deepEqual(answers.get(0), {
    role: 'assistant', content: 'one two',
    tool_calls: [
      { type: 'function', id: 'a', function: { name: 'f', arguments: '{}' } },
      { type: 'function', id: 'b', function: { name: 'g', arguments: '{}' } },
    ],
  });
  assert.equal(answers.get(1)?.content, 'other');
});

test('a body\'s messages by choice; what is no completion has none', () => {
  const message = { role: 'assistant', content: 'x' };
  assert.deepEqual(answersOfBody({ choices: [{ index: 1, message }] }).get(1), message);
  for (const body of [null, 3, {}, { choices: 'x' }, { choices: [null, { index: 0 }] }]) assert.equal(answersOfBody(body).size, 0);
});
