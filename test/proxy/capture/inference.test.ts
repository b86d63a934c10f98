import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { conversationOf, TrajectoryInference, type Message } from '../../../proxy/capture/inference.ts';

const user = (content: unknown): Message => ({ role: 'user', content });
const answer = (content: string | null, more: object = {}): Message => ({ role: 'assistant', content, ...more });

describe('a call continues the rollout', () => {
  test('whose messages and answer it extends, under the same key only', () => {
    const inference = new TrajectoryInference();
    inference.remember(conversationOf('k', [user('q')]), answer('a'), 'ro_1');
    assert.equal(inference.find(conversationOf('k', [user('q'), answer('a'), user('more')])), 'ro_1');
    assert.equal(inference.find(conversationOf('other', [user('q'), answer('a'), user('more')])), null);
    assert.equal(inference.find(conversationOf('k', [user('q'), answer('b'), user('more')])), null);
    assert.equal(inference.find(conversationOf('k', [user('q')])), null, 'the same question again is a new rollout');
  });

  test('however the client keeps its messages', () => {
    const inference = new TrajectoryInference();
    const call = { id: 'call_1', type: 'function', function: { name: 'f', arguments: '{"a":1,"b":[2]}' } };
    inference.remember(conversationOf(null, [user('q')]), answer(null, { tool_calls: [call], refusal: null }), 'ro_1');
    const kept = { ...call, function: { name: 'f', arguments: '{"a": 1, "b": [2]}' } };
    const tool = { role: 'tool', tool_call_id: 'call_1', content: '3' };
    assert.equal(inference.find(conversationOf(null, [user([{ type: 'text', text: 'q' }]), answer('', { tool_calls: [kept], annotations: [] }), tool])), 'ro_1');
    const otherArguments = { ...call, function: { name: 'f', arguments: '{"a":2}' } };
    assert.equal(inference.find(conversationOf(null, [user('q'), answer('', { tool_calls: [otherArguments] }), tool])), null);
  });

  test('of the longest continuation', () => {
    const inference = new TrajectoryInference();
    inference.remember(conversationOf(null, [user('q')]), answer('a'), 'ro_1');
    inference.remember(conversationOf(null, [user('q'), answer('a'), user('r')]), answer('b'), 'ro_2');
    assert.equal(inference.find(conversationOf(null, [user('q'), answer('a'), user('r'), answer('b'), user('s')])), 'ro_2');
    assert.equal(inference.find(conversationOf(null, [user('q'), answer('a'), user('t')])), 'ro_1', 'a branch');
  });

  test('twins with the same question and answer are told apart by who went on first', () => {
    const inference = new TrajectoryInference();
    inference.remember(conversationOf(null, [user('q')]), answer('a'), 'ro_1');
    inference.remember(conversationOf(null, [user('q')]), answer('a'), 'ro_2');
    const next = [user('q'), answer('a'), user('r')];
    assert.deepEqual([inference.find(conversationOf(null, next)), inference.find(conversationOf(null, next))], ['ro_1', 'ro_2']);
    assert.equal(inference.find(conversationOf(null, next)), 'ro_2', 'a third one branches');
  });
});
