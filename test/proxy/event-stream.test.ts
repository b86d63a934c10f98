import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { EventStream } from '../../proxy/event-stream.ts';

/** What a server answers on one connection until it closes it, as it was sent. */
async function raw(requests: string): Promise<string> {
  const server = createServer((_, outgoing) => {
    const stream = new EventStream(outgoing, { 'x-more': '1' }, new AbortController().signal);
    void stream.send([{ data: 'héllo' }, { data: null }, { data: 'wörld' }]);
    void stream.send([{ data: null }]);
    stream.done();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port); // it listens on TCP
  socket.end(requests);
  let text = '';
  for await (const bytes of socket.setEncoding('utf8')) text += String(bytes);
  server.close();
  return text;
}

const events = ['data: héllo\n\ndata: wörld\n\n', 'data: [DONE]\n\n'] as const;

test('each write is one chunk of its length in bytes, and the connection can be used again', async () => {
  const answers = (await raw('GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')).split('HTTP/1.1 200 OK').slice(1);
  assert.equal(answers.length, 2);
  for (const answer of answers) {
    const [head = '', ...body] = answer.split('\r\n\r\n');
    assert.match(head, /transfer-encoding: chunked/i);
    assert.match(head, /x-more: 1/);
    assert.equal(body.join('\r\n\r\n'), events.map((text) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`).join('') + '0\r\n\r\n');
  }
});

test('a client that does not know chunks gets the events as they are', async () => {
  const [head = '', body] = (await raw('GET / HTTP/1.0\r\n\r\n')).split('\r\n\r\n');
  assert.doesNotMatch(head, /transfer-encoding/i);
  assert.equal(body, events.join(''));
});
