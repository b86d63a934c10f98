/** How far two sets of logits are from each other. */

/** Largest |a − b|. @throws Error if they are not of one size */
export function largestDifference(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) throw new Error(`${a.length} logits against ${b.length}`);
  return a.reduce((worst, value, i) => Math.max(worst, Math.abs(value - (b[i] ?? NaN))), 0);
}

/** What is expected of a comparison, and what was found. */
export interface Comparison {
  /** `llama: adapter trained here, in vLLM (float32)`. */
  readonly name: string;
  readonly difference: number;
  readonly limit: number;
}

export const holds = ({ difference, limit }: Comparison): boolean => difference <= limit; // false for NaN

export const lineOf = (one: Comparison): string => `${holds(one) ? 'ok    ' : 'FAILED'} ${one.difference.toExponential(1)} ≤ ${one.limit.toExponential(1)}  ${one.name}`;
