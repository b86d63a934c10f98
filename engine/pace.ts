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

  /** For the next piece. To the nearest step: each piece costs something of its own, so that a longer one takes less than its share. */
  get tokens(): number {
    return Math.min(Math.max(Math.round(this.#tokens / SHORTEST) * SHORTEST, SHORTEST), this.#longest);
  }

  /** A piece was read; one may be longer than asked for (nobody was waiting). What is shorter (a prompt's end) says too little. */
  took(tokens: number, ms: number): void {
    if (tokens < this.tokens) return;
    const next = tokens * this.#maxStallMs / Math.max(ms, 1e-3);
    this.#tokens = Math.min(Math.max(next, 0.5 * this.#tokens, SHORTEST), 1.5 * this.#tokens, this.#longest);
  }
}
