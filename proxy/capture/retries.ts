/**
 * Telling a client's retry from a new step (DESIGN rule 5): the same body again, under the same key and rollout, soon after the first
 * one failed, takes the first one's place in the trajectory. `x-stainless-retry-count` and `Idempotency-Key` say no more than that, and an
 * agent's own retry loop sends neither.
 */
import { BoundedMap } from './bounded-map.ts';

/** SDKs back off for seconds between tries; an agent's own retry loop may take longer, but not minutes. */
const windowMs = 60_000;
const maxFailures = 10_000;

/** Where a call stands in its trajectory. */
export interface CallPosition {
  readonly callId: string;
  readonly rolloutId: string;
  readonly attemptId: string;
  readonly sequence: number;
}

interface Failure {
  readonly call: CallPosition;
  readonly at: number;
}

export class RetryIndex {
  readonly #failures = new BoundedMap<string, Failure>(maxFailures);
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** Call when a call fails. `fingerprint` is the hash of the caller, its rollout if it names one, and the body. */
  failed(fingerprint: string, call: CallPosition): void {
    this.#failures.set(fingerprint, { call, at: this.#now() });
  }

  /** The failed call that this one tries again, or null. Each failure is answered by one retry. */
  take(fingerprint: string): CallPosition | null {
    const failure = this.#failures.get(fingerprint);
    if (failure === undefined) return null;
    this.#failures.delete(fingerprint);
    return this.#now() - failure.at <= windowMs ? failure.call : null;
  }
}
