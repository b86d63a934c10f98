import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { type ServerEvent, serverEvents } from '../../../cli/client/events.ts';

async function parse(bytes: Uint8Array, cuts: readonly number[]): Promise<ServerEvent[]> {
  async function* chunks() {
    let from = 0;
    for (const cut of [...cuts.map((c) => c % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]) {
      yield bytes.subarray(from, cut);
      from = cut;
    }
  }
  return await Array.fromAsync(serverEvents(chunks()));
}

test('events are the same under any chunking', async () => {
  const text = ': hello\ndata: {"a": "ä€"}\n\nevent: progress\ndata:1\ndata: 2\n\r\ndata: last\r\n\r\ndata: unfinished';
  const expected = [{ event: 'message', data: '{"a": "ä€"}' }, { event: 'progress', data: '1\n2' }, { event: 'message', data: 'last' }];
  await fc.assert(fc.asyncProperty(fc.array(fc.nat()), async (cuts) => {
    assert.deepEqual(await parse(new TextEncoder().encode(text), cuts), expected);
  }));
});
