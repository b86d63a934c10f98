/** The server ends: nobody new, what runs is finished or told, everything acknowledged is stored, and the process ends as it should. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import { openDatabase } from '../../../store/open.ts';
import { getStep, listSteps } from '../../../store/steps.ts';
import { events, startHarness, tempDir, until } from '../harness.ts';
import { event, roleChunk, tokenChunk, wholeBody, wholeStream } from './chunks.ts';
import { startServe } from './process.ts';
import { scriptedUpstream, type Script } from './upstream.ts';

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

describe('fulgurite serve that is sent SIGTERM', () => {
  /** Tokens of every call: one in 30 ms, without end. */
  const endless: Script = async (call) => {
    call.stream();
    call.write(event(roleChunk));
    while (!call.isClosed) {
      call.write(event(tokenChunk('x')));
      await new Promise((resolve) => { setTimeout(resolve, 30); });
    }
  };
  const tenTokens: Script = async (call) => {
    if (call.body['stream'] !== true) {
      await new Promise((resolve) => { setTimeout(resolve, 300); });
      call.json(200, wholeBody('ab'));
      return;
    }
    call.stream();
    for (const part of wholeStream('0123456789').split(/(?<=\n\n)/)) {
      call.write(part);
      await new Promise((resolve) => { setTimeout(resolve, 30); });
    }
    call.end();
  };

  async function serve(script: Script, shutdownTimeoutMs: number) {
    const dataDir = tempDir();
    const upstream = await scriptedUpstream(script);
    const server = await startServe([`dataDir=${dataDir}`, 'server.port=0', `server.shutdownTimeoutMs=${shutdownTimeoutMs}`, 'backend.kind=openai', `backend.baseUrl=${upstream.baseUrl}`]);
    return {
      server, upstream,
      steps() {
        using db = openDatabase(dataDir);
        assert.equal(db.sqlite.pragma('integrity_check', { simple: true }), 'ok');
        return listSteps(db, { order: 'oldest' }).items.map(({ id }) => getStep(db, id)).filter((step) => step !== undefined);
      },
      async [Symbol.asyncDispose]() {
        await server[Symbol.asyncDispose]();
        await upstream[Symbol.asyncDispose]();
        rmSync(dataDir, { recursive: true });
      },
    };
  }

  test('finishes the calls that run, takes no new one, and exits with 0', async () => {
    await using s = await serve(tenTokens, 20_000);
    const running = [s.server.chat('a', { stream: true }).then(events), s.server.chat('b').then((response) => response.json())];
    await until(() => s.upstream.calls.length === 2);
    s.server.child.kill('SIGTERM');
    await until(async () => fetch(`${s.server.url}/healthz`).then(() => false, () => true));
    const [streamed, whole] = await Promise.all(running);
    assert.equal((streamed as string[]).at(-1), '[DONE]');
    assert.equal((whole as { id: string }).id, 'chatcmpl-up');
    assert.equal(await s.server.exited, 0);
    assert.deepEqual(s.steps().map((step) => [step.state, step.completionIds?.length]).sort((a, b) => Number(a[1]) - Number(b[1])), [['complete', 2], ['complete', 10]]);
  });

  test('ends what still runs at its deadline, tells its clients, and exits with 0', async () => {
    await using s = await serve(endless, 200);
    const running = s.server.chat('a', { stream: true }).then(events);
    await until(() => s.upstream.calls.length === 1);
    s.server.child.kill('SIGTERM');
    const frames = await running;
    assert.equal((JSON.parse(frames.at(-1) ?? '') as { error: { code: string } }).error.code, 'shutting_down');
    assert.equal(await s.server.exited, 0);
    assert.ok(s.upstream.calls[0]?.isClosed);
    const [step] = s.steps();
    assert.equal(step?.state, 'upstream_error');
    assert.ok((step.completionIds?.length ?? 0) > 0);
  });

  test('twice exits at once, and what was acknowledged is there', async () => {
    await using s = await serve((call) => (s.upstream.calls.length <= 3 ? tenTokens(call) : endless(call)), 60_000);
    const acknowledged = await Promise.all([1, 2, 3].map(async () => (await (await s.server.chat('a')).json() as { id: string }).id));
    const running = s.server.chat('b', { stream: true }).then((response) => response.text()).catch(() => 'cut off');
    await until(() => s.upstream.calls.length === 4);
    s.server.child.kill('SIGTERM');
    await until(async () => fetch(`${s.server.url}/healthz`).then(() => false, () => true));
    await new Promise((resolve) => { setTimeout(resolve, 400); }); // two signals at one moment are one
    const secondAt = performance.now();
    s.server.child.kill('SIGTERM');
    assert.notEqual(await s.server.exited, 0);
    assert.ok(performance.now() - secondAt < 2000);
    assert.doesNotMatch(await running, /\[DONE\]/);
    const states = s.steps().map((step) => step.state);
    assert.deepEqual(states, ['complete', 'complete', 'complete', 'open'], 'the open one is marked as crashed at the next start');
    assert.equal(acknowledged.length, 3);
  });
});
