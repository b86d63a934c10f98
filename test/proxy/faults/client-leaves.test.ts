/** The client goes away, at each point: generation ends at once, and what there was until then is stored. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { until } from '../harness.ts';
import { behind, type Behind } from './behind.ts';
import { event, roleChunk, tokenChunk } from './chunks.ts';
import type { Script, UpstreamCall } from './upstream.ts';

/** How soon generation must have ended. One of a few tries must make it: other work on the machine may hold up any one. */
const withinMs = 100;
const tries = 5;

/** A request over a socket of its own, so that the test decides how it ends. */
function post(b: Behind, stream: boolean): Socket {
  const body = b.request(stream);
  const socket = connect(Number(new URL(b.chatUrl).port), '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write(`POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  return socket;
}

interface Leaving {
  readonly stream: boolean;
  readonly script: Script;
  /** What the client has seen when it goes; null: it goes when its call has reached the server. */
  readonly seen: RegExp | null;
  readonly ids: number;
}

const twoTokens = [roleChunk, tokenChunk('a'), tokenChunk('b')].map(event).join('');
const points: Record<string, Leaving> = {
  'before the headers of a stream': { stream: true, script: () => undefined, seen: null, ids: 0 },
  'before the first token of a stream': { stream: true, script: (call) => { call.stream(); }, seen: null, ids: 0 },
  'after the role, before the first token': { stream: true, script: (call) => { call.stream(); call.write(event(roleChunk)); }, seen: /assistant/, ids: 0 },
  'in mid-stream': { stream: true, script: (call) => { call.stream(); call.write(twoTokens); }, seen: /"content":"b"/, ids: 2 },
  'before an answer in one piece': { stream: false, script: () => undefined, seen: null, ids: 0 },
  'while an answer in one piece is sent': { stream: false, script: (call) => { call.json(200, '{"id":', 100); }, seen: null, ids: 0 },
};

describe('a client that leaves', () => {
  for (const [name, point] of Object.entries(points)) {
    for (const how of ['closes', 'resets'] as const) {
      test(`${name} (${how})`, async () => {
        await using b = await behind(point.script);
        const delays: number[] = [];
        while (delays.length < tries && !delays.some((delay) => delay < withinMs)) delays.push(await leave(b, point, how));
        assert.ok(Math.min(...delays) < withinMs, `the server heard of it after ${delays.join(', ')} ms`);
        await until(async () => (await b.steps()).every((step) => step.state !== 'open'));
        for (const step of await b.steps()) {
          assert.equal(step.state, 'client_aborted');
          assert.equal(step.completionIds?.length ?? 0, point.ids, 'what was generated until then');
          assert.equal(step.logprobs?.length ?? 0, point.ids);
        }
        assert.equal(b.upstream.calls.length, delays.length);
      });
    }
  }

  test('that had stopped reading', async () => {
    let frames = 0;
    await using b = await behind(async (call) => {
      call.stream();
      call.write(event(roleChunk));
      for (; !call.isClosed; frames++) {
        call.write(event(tokenChunk('x')).repeat(100));
        await call.drained();
      }
    });
    const socket = post(b, true);
    socket.pause();
    for (let before = -1; before !== frames || before === 0;) {
      before = frames;
      await new Promise((resolve) => { setTimeout(resolve, 200); });
    }
    socket.resetAndDestroy();
    await until(() => b.upstream.calls[0]?.isClosed === true);
    await until(async () => (await b.steps())[0]?.state === 'client_aborted');
    const [step] = await b.steps();
    assert.ok((step?.completionIds?.length ?? 0) > 0);
    assert.equal(step?.completionIds?.length, step?.logprobs?.length);
  });

  test('in the middle of its own request: nothing is asked, nothing is stored', async () => {
    await using b = await behind(() => undefined);
    const socket = connect(Number(new URL(b.chatUrl).port), '127.0.0.1');
    socket.write('POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"mod');
    await new Promise((resolve) => { setTimeout(resolve, 50); });
    socket.destroy();
    assert.equal((await fetch(`${b.proxy.url}/healthz`)).status, 200);
    assert.deepEqual([b.upstream.calls.length, (await b.steps()).length], [0, 0]);
  });
});

/** Milliseconds from the client's leaving to the end of the server's connection. */
async function leave(b: Behind, { stream, seen }: Leaving, how: 'closes' | 'resets'): Promise<number> {
  const nth = b.upstream.calls.length;
  const socket = post(b, stream);
  let text = '';
  socket.on('data', (bytes: Buffer) => { text += bytes.toString(); });
  await until(() => b.upstream.calls.length > nth && (seen === null || seen.test(text)));
  const call = b.upstream.calls[nth] as UpstreamCall; // waited for just now
  await new Promise((resolve) => { setTimeout(resolve, 20); }); // what was sent is on its way
  const leftAt = performance.now();
  if (how === 'closes') socket.destroy();
  else socket.resetAndDestroy();
  await until(() => call.isClosed, 2000);
  return (call.closedAt ?? 0) - leftAt;
}
