/** Server-sent events straight onto the socket: what came together leaves at once, and a slow reader slows the writer down. */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Frame } from './backends/backend.ts';
import { errorBody, type ApiError } from './errors.ts';

const headers = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  // nginx would collect the events otherwise.
  'x-accel-buffering': 'no',
};

export class EventStream {
  readonly #outgoing: ServerResponse;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #signal: AbortSignal;
  #isChunked = false;

  /** Nothing is sent before the first event, so that a call that fails before it can still answer with a status. */
  constructor(outgoing: ServerResponse, extraHeaders: Readonly<Record<string, string>>, signal: AbortSignal) {
    this.#outgoing = outgoing;
    this.#headers = extraHeaders;
    this.#signal = signal;
  }

  get hasStarted(): boolean {
    return this.#outgoing.headersSent;
  }

  /**
   * One event for each frame that has data, all in one write.
   * @returns where the reader does not keep up, what resolves when more may be written, and rejects with the signal's reason when the reader goes away
   * @throws the signal's reason
   */
  send(frames: readonly Pick<Frame, 'data'>[]): Promise<void> | undefined {
    this.#signal.throwIfAborted();
    let events = '';
    for (const { data } of frames) if (data !== null) events += `data: ${data}\n\n`;
    if (events === '') return undefined;
    this.#start();
    return this.#outgoing.write(this.#isChunked ? chunk(events) : events) ? undefined : this.#drained();
  }

  /** Ends the stream; in OpenAI's dialects `[DONE]` says that it is whole. */
  done(): void {
    this.end('data: [DONE]\n\n');
  }

  end(last = ''): void {
    this.#start();
    this.#outgoing.end(this.#isChunked ? (last === '' ? '' : chunk(last)) + lastChunk : last);
  }

  /** Ends a stream that cannot go on, as OpenAI's API does: an error object instead of `[DONE]`. */
  fail(error: ApiError): void {
    this.end(`data: ${JSON.stringify(errorBody(error))}\n\n`);
  }

  /** Chunks are framed here: Node writes a chunk as four pieces, which costs the socket twice as much as one. */
  #start(): void {
    if (this.hasStarted) return;
    this.#outgoing.writeHead(200, { ...headers, ...this.#headers });
    this.#isChunked = this.#outgoing.chunkedEncoding; // not for clients that speak HTTP/1.0
    this.#outgoing.chunkedEncoding = false;
  }

  async #drained(): Promise<void> {
    try {
      await once(this.#outgoing, 'drain', { signal: this.#signal });
    } catch (error) {
      this.#signal.throwIfAborted();
      throw error;
    }
  }
}

/** RFC 9112, section 7.1. */
const chunk = (text: string): string => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
const lastChunk = '0\r\n\r\n';
