import assert from 'node:assert/strict';
import { test } from 'node:test';
import { transcript } from '../../../cli/demo/transcript.ts';

const call = { role: 'assistant', content: null, tool_calls: [{ function: { name: 'calculator', arguments: '{"expression":"12+30"}' } }] };

test('the last call tells the whole conversation, without the system message', () => {
  const request = { messages: [{ role: 'system', content: 'Be right.' }, { role: 'user', content: '12 and 30?' }, call, { role: 'tool', content: '42' }] };
  const response = { choices: [{ message: { role: 'assistant', content: '42' } }] };
  const steps = [{ request: '{}', response: '{}', choice: 0 }, { request: JSON.stringify(request), response: JSON.stringify(response), choice: 0 }];
  assert.deepEqual(transcript(steps), ['user      12 and 30?', 'assistant calculator({"expression":"12+30"})', 'tool      42', 'assistant 42']);
});

test('a step without an answer, and a rollout without a step', () => {
  assert.deepEqual(transcript([]), ['(no call was recorded)']);
  assert.deepEqual(transcript([{ request: '{"messages": []}', response: null, choice: 0 }]), ['(no call was recorded)']);
});
