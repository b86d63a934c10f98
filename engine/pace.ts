/**
 * How long pieces of prompts may be while others are being answered: as long as reading one takes about `maxStallMs`. Learned from what pieces took, since that
 * depends on the model, the machine, and how much of a prompt stands before the piece. Pure.
 */
const FIRST = 64;
/** The attention kernel's step; less would cost as much. */
const SHORTEST = 16;

export class Pace {
  readonly #maxStallMs: number;
  readonly #longest: number;
  #tokens: number;

  constructor(maxStallMs: number, longest: number) {
    this.#maxStallMs = maxStallMs;
    this.#longest = longest;
    this.#tokens = Math.min(FIRST, longest);
  }

  /** For the next piece. */
  get tokens(): number {
    return Math.min(Math.max(Math.floor(this.#tokens / SHORTEST) * SHORTEST, SHORTEST), this.#longest);
  }

  /** A piece was read. What is shorter than asked for (a prompt's end) says too little. */
  took(tokens: number, ms: number): void {
    if (tokens < this.tokens) return;
    const next = this.tokens * Math.min(Math.max(this.#maxStallMs / Math.max(ms, 1e-3), 0.5), 1.5);
    this.#tokens = Math.min(Math.max(next, SHORTEST), this.#longest);
  }
}
