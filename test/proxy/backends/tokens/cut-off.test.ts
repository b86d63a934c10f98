import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CutOff } from '../../../../proxy/backends/backend.ts';
import { whole } from '../../../../proxy/backends/tokens/answering.ts';
import type { Piece } from '../../../../proxy/backends/tokens/generation.ts';
import { parseChatRequest } from '../../../../proxy/dialects/chat.ts';

const piece = (id: number): Piece =>
  ({ choice: 0, version: 2, content: 'x', reasoning: '', toolCalls: [], finishReason: null, logprob: null, capture: { choice: 0, tokenIds: [id], logprobs: [-1], version: 2 } });

test('an answer in one piece that is cut off brings what there was of it, and why', async () => {
  const gone = new Error('gone');
  const told = { header: { id: 'a', created: 1, model: 'm' }, request: parseChatRequest({ model: 'm', messages: [{ role: 'user', content: 'x' }] }), promptTokens: 3 };
  const cut = async function* (ids: readonly number[]): AsyncGenerator<Piece> {
    for (const id of ids) yield piece(id);
    throw gone;
  };
  await assert.rejects(whole(cut([7, 8]), told), (error) => {
    assert.ok(error instanceof CutOff && error.cause === gone);
    assert.deepEqual(error.capture.flatMap(({ tokenIds }) => tokenIds), [7, 8]);
    return true;
  });
  await assert.rejects(whole(cut([]), told), gone);
});
