/**
 * Which earlier step does this prompt extend? Answers in one pass over the prompt's ids and keeps no ids: every recorded step
 * leaves a 64-bit rolling hash of its prompt + completion under its length.
 */
import { BoundedMap } from './bounded-map.ts';

const maxStepsPerAttempt = 4096;

export class PrefixIndex {
  readonly #steps = new BoundedMap<string, string>(maxStepsPerAttempt);
  /** Lengths seen, so that a lookup only builds keys where a step can be. */
  readonly #lengths = new Set<number>();

  /** Remembers a step by the concatenation of its prompt and completion ids. */
  add(stepId: string, promptIds: Int32Array, completionIds: Int32Array): void {
    const hash = new RollingHash();
    for (const id of promptIds) hash.push(id);
    for (const id of completionIds) hash.push(id);
    this.#lengths.add(hash.length);
    this.#steps.set(hash.key(), stepId);
  }

  /** The step whose prompt + completion is the longest prefix of these ids, or null. */
  longest(promptIds: Int32Array): string | null {
    if (this.#lengths.size === 0) return null;
    const hash = new RollingHash();
    let found: string | null = null;
    for (const id of promptIds) {
      hash.push(id);
      if (this.#lengths.has(hash.length)) found = this.#steps.get(hash.key()) ?? found;
    }
    return found;
  }
}

/** Two independent FNV-1a style hashes over whole ids. */
class RollingHash {
  length = 0;
  #a = 0x811c9dc5;
  #b = 0x9e3779b9;

  push(id: number): void {
    this.length++;
    this.#a = Math.imul(this.#a ^ id, 0x01000193);
    this.#b = Math.imul((this.#b ^ id) + 0x7f4a7c15, 0x85ebca6b) ^ (this.#b >>> 13);
  }

  key(): string {
    return `${this.length}:${this.#a >>> 0}:${this.#b >>> 0}`;
  }
}
