/** Stop strings over streamed text: nothing of a stop string ever leaves, not even its beginning. */

export interface Filtered {
  /** Text that may leave now. */
  readonly text: string;
  /** A stop string is complete: the text ends before it. */
  readonly stopped: boolean;
}

/**
 * The result does not depend on how the text is cut into pieces: generation ends at the first character that completes a stop
 * string, and of those that end there the longest one is removed.
 */
export class StopFilter {
  readonly #stops: readonly string[];
  #held = '';

  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  push(piece: string): Filtered {
    const text = this.#held + piece;
    const start = this.#earliest(text);
    if (start !== null) {
      this.#held = '';
      return { text: text.slice(0, start), stopped: true };
    }
    const safe = text.length - this.#pending(text);
    this.#held = text.slice(safe);
    return { text: text.slice(0, safe), stopped: false };
  }

  /** What was held back in vain. */
  end(): string {
    const held = this.#held;
    this.#held = '';
    return held;
  }

  /** Where the first stop string to be completed begins. */
  #earliest(text: string): number | null {
    let best: { start: number; end: number } | null = null;
    for (const stop of this.#stops) {
      const start = text.indexOf(stop);
      if (start < 0) continue;
      const end = start + stop.length;
      if (best === null || end < best.end || (end === best.end && start < best.start)) best = { start, end };
    }
    return best === null ? null : best.start;
  }

  /** Length of the longest end of the text that a stop string begins with. */
  #pending(text: string): number {
    let longest = 0;
    for (const stop of this.#stops) {
      for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
        if (text.endsWith(stop.slice(0, length))) longest = length;
      }
    }
    return longest;
  }
}
