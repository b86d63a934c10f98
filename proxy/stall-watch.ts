/** Notices a stream that does not go on. One timer a call, not one a frame: a frame costs a look at the clock. */
import { ApiError } from './errors.ts';

export interface StallLimits {
  readonly firstTokenTimeoutMs: number;
  readonly interTokenTimeoutMs: number;
}

export class StallWatch implements Disposable {
  readonly #limits: StallLimits;
  readonly #onStall: (error: ApiError) => void;
  #token: 'first' | 'next' = 'first';
  /** Null while a frame is on its way to its reader: the time that takes is not the policy's. */
  #waitingSince: number | null = performance.now();
  #timer: NodeJS.Timeout;

  /** @param onStall is given a 504 `upstream_timeout`, once */
  constructor(limits: StallLimits, onStall: (error: ApiError) => void) {
    this.#limits = limits;
    this.#onStall = onStall;
    this.#timer = this.#lookAfter(this.#limitMs);
  }

  /** A frame came, or the last one did. */
  pause(): void {
    this.#waitingSince = null;
  }

  /** The next frame is waited for. */
  resume(): void {
    this.#waitingSince = performance.now();
    if (this.#token === 'next') return;
    this.#token = 'next';
    clearTimeout(this.#timer);
    this.#timer = this.#lookAfter(this.#limitMs);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  get #limitMs(): number {
    return this.#token === 'first' ? this.#limits.firstTokenTimeoutMs : this.#limits.interTokenTimeoutMs;
  }

  #lookAfter(ms: number): NodeJS.Timeout {
    return setTimeout(() => { this.#look(); }, ms);
  }

  #look(): void {
    const waited = this.#waitingSince === null ? 0 : performance.now() - this.#waitingSince;
    // Node's timers may fire within the millisecond before they are due.
    if (waited < this.#limitMs - 1) this.#timer = this.#lookAfter(this.#limitMs - waited);
    else this.#onStall(stalled(this.#token, this.#limitMs));
  }
}

function stalled(token: 'first' | 'next', limitMs: number): ApiError {
  const key = token === 'first' ? 'server.firstTokenTimeoutMs' : 'server.interTokenTimeoutMs';
  return new ApiError(504, `The policy gave no ${token} token for ${limitMs} ms. Raise ${key} if it needs longer.`, { code: 'upstream_timeout', type: 'upstream_error' });
}
