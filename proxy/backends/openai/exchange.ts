/** One request to a server and its answer. Bytes are handed on within the call that received them: no stream, no promise in between. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import { ApiError } from '../../errors.ts';
import type { Take } from '../../pulled.ts';

/** An answer is kept in memory until it is stored: one larger than this (128 choices with all their alternatives fit) is a server gone wrong. */
const maxAnswerBytes = 256 * 1024 * 1024;
/** Bytes that may come before anybody takes them. */
const maxWaitingBytes = 64 * 1024;
/** How long a server may take to end an answer that has said all: its connection can be used again then. */
const endMs = 250;

export class Exchange implements Dispatcher.DispatchHandler {
  statusCode = 0;
  headers: IncomingHttpHeaders = {};
  readonly #signal: AbortSignal;
  readonly #translate: (error: unknown) => unknown;
  readonly #started = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<void>();
  #controller: Dispatcher.DispatchController | null = null;
  #take: Take<Buffer> | null = null;
  #isHeld = false;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #totalBytes = 0;
  /** How the answer ended, once it did: null is well. */
  #end: { readonly error: unknown } | null = null;
  #leaving: NodeJS.Timeout | undefined;

  /** @param translate what the server's side threw → what callers are told */
  constructor(signal: AbortSignal, translate: (error: unknown) => unknown) {
    this.#signal = signal;
    this.#translate = translate;
    // Each is reported by the other where nobody waits for it.
    this.#started.promise.catch(() => undefined);
    this.#ended.promise.catch(() => undefined);
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** Resolves when status and headers are here. */
  get started(): Promise<void> {
    return this.#started.promise;
  }

  /** Resolves after the last byte was taken, or after `leave`. Rejects with what `take` threw, the signal's reason, or what became of the connection, after all that came before it. */
  read(take: Take<Buffer>): Promise<void> {
    this.#take = take;
    this.#goOn();
    return this.#ended.promise;
  }

  async text(): Promise<string> {
    const pieces: Buffer[] = [];
    await this.read((bytes) => {
      pieces.push(bytes);
      return undefined;
    });
    return (pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces)).toString('utf8');
  }

  /** All that is wanted has come. */
  leave(): void {
    this.#take = () => undefined;
    this.#settle(null);
    if (this.#end === null) this.#leaving ??= setTimeout(() => { this.#controller?.abort(new Error('The answer had ended.')); }, endMs);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#end !== null) controller.abort(new Error('The caller has left.'));
  }

  onResponseStart(_controller: Dispatcher.DispatchController, statusCode: number, headers: IncomingHttpHeaders): void {
    if (statusCode < 200) return;
    this.statusCode = statusCode;
    this.headers = headers;
    this.#started.resolve();
  }

  onResponseData(controller: Dispatcher.DispatchController, bytes: Buffer): void {
    this.#totalBytes += bytes.length;
    if (this.#totalBytes > maxAnswerBytes) {
      this.#fail(tooLarge());
      return;
    }
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    this.#give();
    if (this.#isHeld || this.#waitingBytes > maxWaitingBytes) controller.pause();
  }

  onResponseEnd(): void {
    clearTimeout(this.#leaving);
    this.#end ??= { error: null };
    this.#give();
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    clearTimeout(this.#leaving);
    this.#end ??= { error: this.#translate(error) };
    this.#started.reject(this.#end.error);
    this.#give();
  }

  readonly #onAbort = (): void => { this.#fail(this.#signal.reason); };

  /** Hands on what waits, as far as the taker keeps up. */
  #give(): void {
    if (this.#take === null || this.#isHeld) return;
    for (let bytes; (bytes = this.#waiting.shift()) !== undefined;) {
      this.#waitingBytes -= bytes.length;
      const held = this.#taken(bytes);
      if (held === undefined) continue;
      this.#isHeld = true;
      void this.#goOnAfter(held);
      return;
    }
    if (this.#end !== null) this.#settle(this.#end.error);
  }

  #taken(bytes: Buffer): Promise<void> | undefined {
    try {
      return this.#take?.(bytes);
    } catch (error) {
      this.#fail(error);
      return undefined;
    }
  }

  async #goOnAfter(held: Promise<void>): Promise<void> {
    try {
      await held;
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#goOn();
  }

  #goOn(): void {
    this.#isHeld = false;
    this.#give();
    if (!this.#isHeld) this.#controller?.resume();
  }

  /** Ends it now, whatever waits. */
  #fail(error: unknown): void {
    this.#end = { error };
    this.#waiting = [];
    this.#started.reject(error);
    this.#settle(error);
    this.#controller?.abort(error instanceof Error ? error : new Error(String(error)));
  }

  #settle(error: unknown): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
    if (error === null) this.#ended.resolve();
    else this.#ended.reject(error);
  }
}

function tooLarge(): ApiError {
  return new ApiError(502, `The upstream server's answer is larger than ${maxAnswerBytes} bytes.`, { code: 'upstream_invalid', type: 'upstream_error' });
}
