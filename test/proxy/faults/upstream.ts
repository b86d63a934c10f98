/** A model server over a raw socket that does, byte for byte, what a test's script says: also what no HTTP library would. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';

/** One call as the server sees it. */
export class UpstreamCall {
  readonly body: Readonly<Record<string, unknown>>;
  /** Header lines as they came, names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly #socket: Socket;
  #isChunked = false;
  /** When the proxy closed the connection, `performance.now()`; null while it is open. */
  closedAt: number | null = null;

  constructor(socket: Socket, headers: ReadonlyMap<string, string>, body: Readonly<Record<string, unknown>>) {
    this.#socket = socket;
    this.headers = headers;
    this.body = body;
    for (const event of ['end', 'close'] as const) socket.once(event, () => { this.closedAt ??= performance.now(); });
  }

  get isClosed(): boolean {
    return this.closedAt !== null;
  }

  /** Bytes that the proxy, and the kernel between, have taken. */
  get bytesTaken(): number {
    return this.#socket.bytesWritten - this.#socket.writableLength;
  }

  /** A piece of the answer, framed where `stream` began it. False where the other side does not keep up. */
  write(bytes: string | Uint8Array): boolean {
    if (!this.#isChunked) return this.raw(bytes);
    this.raw(`${Buffer.byteLength(bytes).toString(16)}\r\n`);
    this.raw(bytes);
    return this.raw('\r\n');
  }

  raw(bytes: string | Uint8Array): boolean {
    return this.#socket.write(bytes);
  }

  /** The head of a streamed answer. */
  stream(): void {
    this.raw('HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n');
    this.#isChunked = true;
  }

  json(status: number, body: unknown, length?: number): void {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    this.raw(`HTTP/1.1 ${status} X\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: ${length ?? Buffer.byteLength(text)}\r\n\r\n${text}`);
  }

  /** Resolves when more may be written, or nobody reads any more. */
  drained(): Promise<void> {
    const socket = this.#socket;
    if (!socket.writableNeedDrain || socket.destroyed) return Promise.resolve();
    return new Promise((resolve) => { socket.once('drain', resolve).once('close', resolve); });
  }

  /** The answer's end, as HTTP says it. */
  end(): void {
    if (this.#isChunked) this.raw('0\r\n\r\n');
    this.close();
  }

  /** The connection's end, wherever the answer stands. */
  close(): void {
    this.#socket.end();
  }

  reset(): void {
    this.#socket.resetAndDestroy();
  }
}

export type Script = (call: UpstreamCall) => void | Promise<void>;

export interface ScriptedUpstream extends AsyncDisposable {
  readonly baseUrl: string;
  /** Chat calls, in order. */
  readonly calls: readonly UpstreamCall[];
  /** What the next calls get. */
  script: Script;
}

/** Lists no models, so that nobody probes it. */
export async function scriptedUpstream(script: Script = () => undefined): Promise<ScriptedUpstream> {
  const calls: UpstreamCall[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => { sockets.delete(socket); });
    socket.on('error', () => undefined); // the test's own resets
    readRequest(socket, (path, headers, body) => {
      if (path.endsWith('/models')) {
        socket.end('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 11\r\n\r\n{"data":[]}');
        return;
      }
      const call = new UpstreamCall(socket, headers, body);
      calls.push(call);
      void upstream.script(call);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // of a TCP server
  const upstream: ScriptedUpstream = {
    baseUrl: `http://127.0.0.1:${port}/v1`, calls, script,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
  return upstream;
}

/** One request a connection, with a content length or without a body: the proxy writes nothing else. */
function readRequest(socket: Socket, done: (path: string, headers: Map<string, string>, body: Record<string, unknown>) => void): void {
  let text = '';
  const onData = (bytes: Buffer) => {
    text += bytes.toString('latin1');
    const headEnd = text.indexOf('\r\n\r\n');
    if (headEnd < 0) return;
    const [requestLine = '', ...lines] = text.slice(0, headEnd).split('\r\n');
    const headers = new Map(lines.map((line): [string, string] => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]));
    const body = text.slice(headEnd + 4);
    if (body.length < Number(headers.get('content-length') ?? 0)) return;
    socket.off('data', onData).resume(); // so that the end of the connection is seen
    const json = body === '' ? {} : JSON.parse(Buffer.from(body, 'latin1').toString()) as Record<string, unknown>; // the proxy sends objects
    done(requestLine.split(' ')[1] ?? '', headers, json);
  };
  socket.on('data', onData);
}
