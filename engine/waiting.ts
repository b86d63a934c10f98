/** Requests that wait for a row, oldest first. */
import type { GenerateRequest } from './engine.ts';

export interface Waiting {
  readonly id: number;
  readonly request: GenerateRequest;
  readonly submittedMs: number;
}

export class WaitingLine implements Iterable<Waiting> {
  #line: Waiting[] = [];

  get length(): number {
    return this.#line.length;
  }

  [Symbol.iterator](): Iterator<Waiting> {
    return this.#line[Symbol.iterator]();
  }

  add(waiting: Waiting): void {
    this.#line.push(waiting);
  }

  forget(id: number): void {
    this.#line = this.#line.filter((waiting) => waiting.id !== id);
  }

  next(): Waiting | undefined {
    return this.#line.shift();
  }

  /** Takes out those that have waited since before `sinceMs`. */
  expire(sinceMs: number): Waiting[] {
    const expired = this.#line.filter(({ submittedMs }) => submittedMs < sinceMs);
    if (expired.length > 0) this.#line = this.#line.filter(({ submittedMs }) => submittedMs >= sinceMs);
    return expired;
  }
}
