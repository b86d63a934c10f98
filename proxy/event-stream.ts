/** Server-sent events straight onto the socket: each one leaves at once, and a slow reader slows the writer down. */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
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

  /** Nothing is sent before the first event, so that a call that fails before it can still answer with a status. */
  constructor(outgoing: ServerResponse, extraHeaders: Readonly<Record<string, string>>, signal: AbortSignal) {
    this.#outgoing = outgoing;
    this.#headers = extraHeaders;
    this.#signal = signal;
  }

  get hasStarted(): boolean {
    return this.#outgoing.headersSent;
  }

  /** Resolves when more may be written. Rejects with the signal's reason when the reader goes away. */
  async send(data: string): Promise<void> {
    this.#signal.throwIfAborted();
    if (!this.hasStarted) this.#outgoing.writeHead(200, { ...headers, ...this.#headers });
    if (!this.#outgoing.write(`data: ${data}\n\n`)) await this.#drained();
  }

  /** Ends the stream; in OpenAI's dialects `[DONE]` says that it is whole. */
  done(): void {
    this.end('data: [DONE]\n\n');
  }

  end(last = ''): void {
    if (!this.hasStarted) this.#outgoing.writeHead(200, { ...headers, ...this.#headers });
    this.#outgoing.end(last);
  }

  /** Ends a stream that cannot go on, as OpenAI's API does: an error object instead of `[DONE]`. */
  fail(error: ApiError): void {
    this.end(`data: ${JSON.stringify(errorBody(error))}\n\n`);
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
