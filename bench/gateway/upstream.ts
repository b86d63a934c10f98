/**
 * The server that all contenders stand in front of, in a process of its own. HTTP by hand over TCP sockets: it must cost little beside what is measured. Prints its port.
 */
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { conversationAnswer, CONVERSING, GAP_MS, MODEL, responseBody, streamEvents, type ChatMessage } from './exchange.ts';

const json = (body: Buffer): Buffer => Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`), body]);
const chunked = (body: Buffer): Buffer => Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from('\r\n')]);

const answer = json(responseBody());
const models = json(Buffer.from(JSON.stringify({ object: 'list', data: [{ id: MODEL, object: 'model', created: 1, owned_by: 'bench' }] })));
const streamHead = Buffer.from('HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n');
const events = streamEvents().map(chunked);
const streamEnd = Buffer.from('0\r\n\r\n');
const headEnd = Buffer.from('\r\n\r\n');
const asksForStream = Buffer.from('"stream":true');
const asksToConverse = Buffer.from(`"model":"${CONVERSING}"`);

const server = createServer({ noDelay: true }, (socket) => {
  let received: Buffer = Buffer.alloc(0);
  socket.on('error', () => socket.destroy()); // a client that leaves
  socket.on('data', (bytes: Buffer) => {
    received = received.length === 0 ? bytes : Buffer.concat([received, bytes]);
    for (let request; (request = firstRequest(received)) !== null;) {
      received = received.subarray(request.end);
      reply(socket, request);
    }
  });
});
server.listen(0, '127.0.0.1', () => { console.log((server.address() as AddressInfo).port); }); // a TCP server's
process.on('disconnect', () => process.exit()); // with the benchmark that started it

interface Request { readonly isPost: boolean; readonly body: Buffer; readonly end: number }

/** The first request that is there whole. Bodies have a `content-length`: all contenders send one. */
function firstRequest(received: Buffer): Request | null {
  const head = received.indexOf(headEnd);
  if (head < 0) return null;
  const text = received.toString('latin1', 0, head);
  const start = head + headEnd.length;
  const end = start + Number(/\r\ncontent-length: *(\d+)/i.exec(text)?.[1] ?? 0);
  return received.length < end ? null : { isPost: text.startsWith('POST'), body: received.subarray(start, end), end };
}

function reply(socket: Socket, { isPost, body }: Request): void {
  if (!isPost) socket.write(models);
  else if (body.includes(asksForStream)) stream(socket);
  else if (body.includes(asksToConverse)) socket.write(json(conversationAnswer((JSON.parse(body.toString()) as { messages: ChatMessage[] }).messages))); // as `conversationBody` made it
  else socket.write(answer);
}

/** One event every 20 ms, by the clock: a late one does not delay the next. */
function stream(socket: Socket): void {
  const startedAt = performance.now();
  let sent = 0;
  const next = (): void => {
    const event = events[sent++];
    if (event === undefined || socket.destroyed) return;
    socket.write(sent === 1 ? Buffer.concat([streamHead, event]) : event);
    if (sent === events.length) socket.write(streamEnd);
    else setTimeout(next, Math.max(startedAt + sent * GAP_MS - performance.now(), 0));
  };
  next();
}
