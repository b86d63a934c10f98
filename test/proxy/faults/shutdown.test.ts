/** The server ends: nobody new, what runs is finished or told, everything acknowledged is stored, and the process ends as it should. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import { openDatabase } from '../../../store/open.ts';
import { getStep, listSteps } from '../../../store/steps.ts';
import { events, startHarness, tempDir, until } from '../harness.ts';
import { startProcess } from './process.ts';

test('a closing server does not wait for a request that is still being sent', async () => {
  const h = await startHarness();
  const socket = connect(Number(new URL(h.url).port), '127.0.0.1');
  socket.on('error', () => undefined);
  let answer = '';
  socket.on('data', (data: Buffer) => { answer += data.toString(); });
  socket.write('POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"mod');
  await until(async () => /fulgurite_open_calls 1/.test(await (await h.get('/metrics')).text()));
  await h.proxy.close(50);
  assert.match(answer, /503.*shutting_down/s);
  await h[Symbol.asyncDispose]();
});
