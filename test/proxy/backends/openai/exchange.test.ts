/** One request over a real connection: what comes is handed on in order, held back where it must be, and the connection is used again. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { Upstream } from '../../../../proxy/backends/openai/upstream.ts';
import { pulled } from '../../../../proxy/pulled.ts';

async function upstreamOf(answer: RequestListener) {
  let connections = 0;
  const server = createServer(answer).on('connection', () => { connections++; }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // of a TCP server
  const upstream = new Upstream({ baseUrl: `http://127.0.0.1:${port}`, apiKey: null, timeoutMs: 10_000 });
  return {
    upstream,
    connections: () => connections,
    async [Symbol.asyncDispose]() {
      await upstream.close();
      server.close();
      server.closeAllConnections();
    },
  };
}

const never = new AbortController().signal;

test('a reader that pulls gets every byte in order, none while it is busy', async () => {
  const text = Array.from({ length: 200_000 }, (_, i) => `${i},`).join('');
  await using server = await upstreamOf((_, response) => { response.end(text); });
  const reply = await server.upstream.post('/', {}, {}, never);
  const pieces: Buffer[] = [];
  for await (const bytes of pulled<Buffer>((take) => reply.read(take))) {
    const before = pieces.length;
    await new Promise(setImmediate);
    assert.equal(pieces.length, before);
    pieces.push(bytes);
  }
  assert.ok(pieces.length > 1);
  assert.equal(Buffer.concat(pieces).toString(), text);
});

test('a reader that leaves early closes the connection', async () => {
  const closed = Promise.withResolvers<void>();
  await using server = await upstreamOf((_, response) => {
    response.on('close', closed.resolve);
    response.write('more is to come');
  });
  const reply = await server.upstream.post('/', {}, {}, never);
  for await (const bytes of pulled<Buffer>((take) => reply.read(take))) {
    assert.equal(bytes.toString(), 'more is to come');
    break;
  }
  await closed.promise;
});

test('what is left because it has said all is read to its end, and its connection is used again', async () => {
  const wanted = Promise.withResolvers<void>();
  await using server = await upstreamOf((_, response) => {
    response.write('all');
    void wanted.promise.then(() => response.end());
  });
  const requests = 5;
  for (let i = 0; i < requests; i++) {
    const reply = await server.upstream.post('/', {}, {}, never);
    await reply.read(() => {
      reply.leave();
      return undefined;
    });
    wanted.resolve();
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
  // A slow machine may miss it now and then.
  assert.ok(server.connections() < requests, `${server.connections()} connections`);
});

test('what came before the connection broke is handed on before its failure', async () => {
  await using server = await upstreamOf((_, response) => {
    response.write('some', () => { response.destroy(); });
  });
  const reply = await server.upstream.post('/', {}, {}, never);
  const seen: string[] = [];
  const read = reply.read((bytes) => {
    seen.push(bytes.toString());
    return new Promise((resolve) => { setTimeout(resolve, 20); });
  });
  await assert.rejects(read, { code: 'upstream_unreachable' });
  assert.deepEqual(seen, ['some']);
});

test('an abort ends it at once, with the signal\'s reason, at each point', async () => {
  await using server = await upstreamOf((request, response) => { if (request.url !== '/silent') response.write('some'); });
  const early = new AbortController();
  const asked = server.upstream.post('/silent', {}, {}, early.signal);
  early.abort(new Error('gone'));
  await assert.rejects(asked, /gone/);
  const late = new AbortController();
  const reply = await server.upstream.post('/', {}, {}, late.signal);
  const read = reply.read(() => new Promise(() => undefined)); // taken, and never done with
  late.abort(new Error('gone'));
  await assert.rejects(read, /gone/);
});
