/**
 * Telling a client's retry from a new step (DESIGN rule 5). The same body again, under the same key and rollout, soon after the first one
 * failed, takes the first one's place in the trajectory: an agent's own retry loop says no more than that. A client that says itself that it
 * tries again (`x-stainless-retry-count`, or the same `Idempotency-Key`) has not seen the first one's answer, so for it that one need not
 * have failed: the client may have given up on it a moment before the server noticed, or lost the connection after the end.
 */
import { hash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { BoundedMap } from './bounded-map.ts';
import type { Source } from './identity.ts';

/** SDKs back off for seconds between tries; an agent's own retry loop may take longer, but not minutes. */
export const retryWindowMs = 60_000;
const maxCalls = 10_000;

/** Where a call stands in its trajectory. */
export interface CallPosition {
  readonly callId: string;
  readonly rolloutId: string;
  readonly attemptId: string;
  readonly sequence: number;
}

/** What of a request tells whether it is another one tried again. */
export interface RequestMarks {
  /** Two calls are the same when the same caller sends the same bytes to the same place. */
  readonly fingerprint: string;
  readonly idempotencyKey: string | null;
  readonly saysRetry: boolean;
}

export function marksOf({ principal, headers }: Source, rollout: string | null, agent: string, body: Buffer): RequestMarks {
  return {
    fingerprint: [principal.keyHash, rollout, agent, hash('sha256', body, 'base64')].join('\n'),
    idempotencyKey: header(headers, 'idempotency-key'),
    saysRetry: Number(header(headers, 'x-stainless-retry-count') ?? 0) > 0,
  };
}

interface Known {
  readonly position: CallPosition;
  readonly idempotencyKey: string | null;
  readonly hasFailed: boolean;
  readonly at: number;
}

export interface Retried {
  readonly position: CallPosition;
  /** Its answer may be, or become, a whole one that its client never saw. */
  readonly mayBeWhole: boolean;
}

export class RetryIndex {
  readonly #calls = new BoundedMap<string, Known>(maxCalls);
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** The call that this one tries again, or null. Each is answered by one retry. */
  take({ fingerprint, idempotencyKey, saysRetry }: RequestMarks): Retried | null {
    const known = this.#calls.get(fingerprint);
    if (known === undefined || this.#now() - known.at > retryWindowMs) return null;
    const isMarked = saysRetry || (idempotencyKey !== null && idempotencyKey === known.idempotencyKey);
    if (!known.hasFailed && !isMarked) return null;
    this.#calls.delete(fingerprint);
    return { position: known.position, mayBeWhole: !known.hasFailed };
  }

  began(marks: RequestMarks, position: CallPosition): void {
    this.#set(marks, position, false);
  }

  failed(marks: RequestMarks, position: CallPosition): void {
    this.#set(marks, position, true);
  }

  #set({ fingerprint, idempotencyKey }: RequestMarks, position: CallPosition, hasFailed: boolean): void {
    this.#calls.set(fingerprint, { position, idempotencyKey, hasFailed, at: this.#now() });
  }
}

function header(headers: IncomingHttpHeaders, name: string): string | null {
  const value = headers[name];
  return typeof value === 'string' && value !== '' ? value : null;
}
