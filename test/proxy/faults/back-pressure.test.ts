/** A client that reads slowly slows its server down; nothing between the two grows meanwhile, and nothing is lost or merged. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { behind } from './behind.ts';
import { event, finishChunk, roleChunk, tokenChunk, usageChunk } from './chunks.ts';

test('64 MB for a client that does not read: held back, then delivered frame by frame', async () => {
  const frame = tokenChunk('x'.repeat(64 * 1024));
  const frames = 1000;
  await using b = await behind(async (call) => {
    call.stream();
    call.write(event(roleChunk));
    for (let i = 0; i < frames && !call.isClosed; i++) {
      call.write(event(frame));
      await call.drained();
    }
    for (const last of [finishChunk, usageChunk, '[DONE]']) call.write(event(last));
    call.end();
  });
  const body = b.request(true);
  const socket = connect(Number(new URL(b.chatUrl).port), '127.0.0.1');
  socket.pause();
  socket.write(`POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);

  const taken = () => b.upstream.calls[0]?.bytesTaken ?? 0;
  let before = -1;
  while (taken() !== before || taken() === 0) {
    before = taken();
    await new Promise((resolve) => { setTimeout(resolve, 300); });
  }
  // What the kernel's buffers of two connections take, and a few frames.
  assert.ok(taken() < 24 * 1024 * 1024, `${taken()} bytes were taken while nobody read`);

  const counted = countFrames();
  socket.on('data', (bytes: Buffer) => { counted.read(bytes.toString('latin1')); });
  await new Promise((resolve) => { socket.on('end', resolve); socket.resume(); });
  assert.deepEqual([counted.frames, counted.done], [frames + 2, true]);
  const [step] = await b.steps();
  assert.deepEqual([step?.state, step?.completionIds?.length], ['complete', frames]);
});

function countFrames() {
  let tail = '';
  const counted = {
    frames: 0,
    done: false,
    read(text: string): void {
      const parts = (tail + text).split('data: ');
      tail = parts.pop() ?? '';
      counted.frames += parts.filter((part) => part.startsWith('{')).length;
      if (tail.startsWith('[DONE]')) {
        counted.done = true;
        tail = '';
      }
    },
  };
  return counted;
}
