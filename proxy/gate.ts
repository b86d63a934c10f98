/** How many calls are open, who may still come in, and how each of them is told to stop. */
import type { ServerResponse } from 'node:http';
import { ApiError } from './errors.ts';

/** The client closed its connection before its answer was complete. */
export class ClientGone extends ApiError {
  constructor() {
    // 499 as nginx logs it; nobody is there to read it.
    super(499, 'The client closed the connection.', { code: 'client_closed_request' });
    this.name = 'ClientGone';
  }
}

export interface OpenCall extends Disposable {
  /** Aborts with `ClientGone`, or with an ApiError when the server ends, or as `abort` says. */
  readonly signal: AbortSignal;
  readonly abort: (reason: ApiError) => void;
  /** `performance.now()`. */
  readonly startedAt: number;
}

export class CallGate {
  readonly #limit: number;
  readonly #open = new Set<AbortController>();
  #whenEmpty: (() => void) | null = null;
  #isClosing = false;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#open.size;
  }

  /** @throws ApiError 503 with `retry-after` when too many calls are open or the server is ending. */
  enter(outgoing: ServerResponse): OpenCall {
    if (this.#isClosing) throw shuttingDown();
    if (this.#open.size >= this.#limit) {
      throw new ApiError(503, `${this.#limit} calls are open already. Try again in a moment, or raise server.maxPending.`, { code: 'too_many_calls', retryAfter: 1 });
    }
    const controller = new AbortController();
    const onClose = () => { if (!outgoing.writableEnded) controller.abort(new ClientGone()); };
    outgoing.once('close', onClose);
    this.#open.add(controller);
    return {
      signal: controller.signal,
      abort: (reason) => { controller.abort(reason); },
      startedAt: performance.now(),
      [Symbol.dispose]: () => {
        outgoing.off('close', onClose);
        this.#open.delete(controller);
        if (this.#open.size === 0) this.#whenEmpty?.();
      },
    };
  }

  /** Lets no one in any more, waits for the open calls, and aborts those that are open after `deadlineMs`. */
  async close(deadlineMs: number): Promise<void> {
    this.#isClosing = true;
    if (this.#open.size === 0) return;
    const empty = new Promise<void>((resolve) => { this.#whenEmpty = resolve; });
    const timer = setTimeout(() => { for (const controller of this.#open) controller.abort(shuttingDown()); }, deadlineMs);
    await empty;
    clearTimeout(timer);
  }
}

function shuttingDown(): ApiError {
  return new ApiError(503, 'The server is shutting down. Try again when it is back.', { code: 'shutting_down', retryAfter: 5 });
}
