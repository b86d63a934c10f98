/**
 * Which earlier step does this prompt extend? Answers in one pass over the prompt's ids and keeps no ids: every recorded step
 * leaves a 64-bit rolling hash of its prompt + completion under its length. Most trajectories have one step, and thousands are remembered.
 */
const maxStepsPerAttempt = 4096;

interface RecordedStep {
  /** Of its ids; at least 1. */
  readonly length: number;
  readonly a: number;
  readonly b: number;
  stepId: string;
  /** By the index's clock: those that were used longest ago are forgotten first. */
  usedAt: number;
}

export class PrefixIndex {
  /** By length. */
  #steps: RecordedStep[] = [];
  #clock = 0;

  /** Remembers a step by the concatenation of its prompt and completion ids. */
  add(stepId: string, promptIds: Int32Array, completionIds: Int32Array): void {
    const hash = new RollingHash();
    for (const id of promptIds) hash.push(id);
    for (const id of completionIds) hash.push(id);
    const { length, a, b } = hash;
    if (length === 0) return;
    const same = this.#steps.find((step) => isAt(step, hash));
    if (same !== undefined) {
      same.stepId = stepId;
      same.usedAt = ++this.#clock;
      return;
    }
    const step = { length, a, b, stepId, usedAt: ++this.#clock };
    if (this.#steps.length === 0) this.#steps = [step]; // an array that was pushed to has room for 17
    else this.#steps.splice(this.#steps.findLastIndex((other) => other.length < length) + 1, 0, step);
    if (this.#steps.length > maxStepsPerAttempt) this.#forgetOne();
  }

  /** The step whose prompt + completion is the longest prefix of these ids, or null. */
  longest(promptIds: Int32Array): string | null {
    const hash = new RollingHash();
    let found: RecordedStep | null = null;
    let at = 0;
    for (const step of this.#steps) {
      if (step.length > promptIds.length) break;
      while (at < step.length) hash.push(promptIds[at++] ?? 0);
      if (isAt(step, hash)) found = step;
    }
    if (found === null) return null;
    found.usedAt = ++this.#clock;
    return found.stepId;
  }

  #forgetOne(): void {
    const oldest = this.#steps.reduce((least, step) => (step.usedAt < least.usedAt ? step : least));
    this.#steps.splice(this.#steps.indexOf(oldest), 1);
  }
}

const isAt = (step: RecordedStep, hash: RollingHash): boolean => step.length === hash.length && step.a === hash.a && step.b === hash.b;

/** Two independent FNV-1a style hashes over whole ids. */
class RollingHash {
  length = 0;
  a = 0x811c9dc5 | 0;
  b = 0x9e3779b9 | 0;

  push(id: number): void {
    this.length++;
    this.a = Math.imul(this.a ^ id, 0x01000193);
    this.b = Math.imul((this.b ^ id) + 0x7f4a7c15, 0x85ebca6b) ^ (this.b >>> 13);
  }
}
