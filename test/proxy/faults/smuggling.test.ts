/**
 * Requests whose end two readers could see in different places (RFC 9112, section 11.2): refused and the connection closed, so that
 * nothing after them is taken for a request of its own. Over raw sockets: no client library writes these.
 */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { startHarness, until, type Harness } from '../harness.ts';
import { behind } from './behind.ts';
import { wholeBody } from './chunks.ts';

const body = JSON.stringify({ model: 'fake', messages: [{ role: 'user', content: 'smuggled' }] });
const smuggled = `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
const start = 'POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n';
const chunked = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;

/** Each is followed by a whole request, which must not be answered. */
const shapes: Record<string, string> = {
  'content-length and transfer-encoding': `${start}content-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
  'transfer-encoding and content-length': `${start}transfer-encoding: chunked\r\ncontent-length: 6\r\n\r\n0\r\n\r\n`,
  'two lengths': `${start}content-length: 0\r\ncontent-length: ${body.length}\r\n\r\n`,
  'two equal lengths': `${start}content-length: 0\r\ncontent-length: 0\r\n\r\n`,
  'a list of lengths': `${start}content-length: 0, 0\r\n\r\n`,
  'a signed length': `${start}content-length: +0\r\n\r\n`,
  'a negative length': `${start}content-length: -1\r\n\r\n`,
  'a hexadecimal length': `${start}content-length: 0x0\r\n\r\n`,
  'an empty length': `${start}content-length:\r\n\r\n`,
  'a length beyond all numbers': `${start}content-length: 99999999999999999999999999\r\n\r\n`,
  'a coding that is not chunked': `${start}transfer-encoding: xchunked\r\n\r\n${chunked}`,
  'chunked, then another coding': `${start}transfer-encoding: chunked, identity\r\n\r\n${chunked}`,
  'two transfer-encodings': `${start}transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n${chunked}`,
  'chunked in quotes': `${start}transfer-encoding: "chunked"\r\n\r\n${chunked}`,
  'a space before the colon': `${start}transfer-encoding : chunked\r\n\r\n${chunked}`,
  'a folded header': `${start}transfer-encoding:\r\n chunked\r\nx: y\r\n\r\n${chunked}`,
  'a line that ends in LF alone': `${start}transfer-encoding: chunked\nx: y\r\n\r\n${chunked}`,
  'a line that ends in CR alone': `${start}x: y\rtransfer-encoding: chunked\r\n\r\n${chunked}`,
  'a NUL in a header': `${start}x: a\0b\r\ncontent-length: 0\r\n\r\n`,
  'a NUL in a header name': `${start}content-length\0: 0\r\n\r\n`,
  'a chunk size that is signed': `${start}transfer-encoding: chunked\r\n\r\n+0\r\n\r\n`,
  'a chunk size with a prefix': `${start}transfer-encoding: chunked\r\n\r\n0x0\r\n\r\n`,
  'a chunk longer than its size': `${start}transfer-encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n`,
  'a chunk size that ends in LF alone': `${start}transfer-encoding: chunked\r\n\r\n0\n\n`,
  'a chunk size beyond all numbers': `${start}transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n`,
  'no host': 'POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n',
  'headers without end': `${start}${'x: yyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n'.repeat(2000)}`,
  'another protocol': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
};

describe('a request with', () => {
  let h: Harness;
  before(async () => { h = await startHarness(); });
  after(() => h[Symbol.asyncDispose]());

  for (const [name, bytes] of Object.entries(shapes)) {
    test(`${name} is refused`, async () => {
      const socket = connect(Number(new URL(h.url).port), '127.0.0.1');
      let answer = '';
      let isClosed = false;
      socket.on('data', (data: Buffer) => { answer += data.toString(); });
      socket.on('error', () => undefined);
      socket.on('close', () => { isClosed = true; });
      socket.write(bytes + smuggled);
      await until(() => isClosed);
      assert.match(answer, /^HTTP\/1.1 4\d\d /);
      assert.equal(answer.match(/HTTP\/1.1/g)?.length, 1, 'one answer');
      assert.equal(h.backend.calls.length, 0);
      assert.equal((await h.steps()).length, 0);
    });
  }

  test('the same, well-formed, is answered twice', async () => {
    const socket = connect(Number(new URL(h.url).port), '127.0.0.1');
    let answer = '';
    socket.on('data', (data: Buffer) => { answer += data.toString(); });
    socket.write(`${start}transfer-encoding: chunked\r\n\r\n${chunked}${smuggled}`);
    await until(async () => (await h.steps()).filter((step) => step.state === 'complete').length === 2);
    await until(() => answer.match(/HTTP\/1.1 200/g)?.length === 2);
    socket.destroy();
  });
});

test('headers that are the client\'s connection\'s own stay here, those it names as such too', async () => {
  await using b = await behind((call) => { call.json(200, wholeBody('ok')); });
  const socket = connect(Number(new URL(b.chatUrl).port), '127.0.0.1');
  const request = b.request(false);
  socket.write(`POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close, X-Hop\r\nx-hop: 1\r\nx-end: 2\r\nte: trailers\r\nkeep-alive: 5\r\nauthorization: Bearer of-the-proxy\r\ncontent-length: ${request.length}\r\n\r\n${request}`);
  await until(() => b.upstream.calls.length === 1);
  const headers = b.upstream.calls[0]?.headers;
  assert.equal(headers?.get('x-end'), '2');
  for (const name of ['x-hop', 'te', 'keep-alive', 'authorization']) assert.equal(headers?.get(name), undefined, name);
  socket.destroy();
});
