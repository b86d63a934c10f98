/** How far two sets of logits are from each other. */
import type { LikelyTokens } from './peers.ts';

/** Largest |a − b|. @throws Error if they are not of one size */
export function largestDifference(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) throw new Error(`${a.length} logits against ${b.length}`);
  return a.reduce((worst, value, i) => Math.max(worst, Math.abs(value - (b[i] ?? NaN))), 0);
}

/** Largest |difference| of log-probs, ours being of these logits `[time, vocab]`. */
export function largestLogprobDifference(logits: Float32Array, vocabSize: number, { positions, ids, logprobs }: LikelyTokens): number {
  const width = ids.length / positions.length;
  return [...positions].reduce((worst, position, row) => {
    const at = logits.subarray(position * vocabSize, (position + 1) * vocabSize);
    const peak = at.reduce((most, logit) => Math.max(most, logit), -Infinity);
    const normalizer = peak + Math.log(at.reduce((sum, logit) => sum + Math.exp(logit - peak), 0));
    const differences = Array.from({ length: width }, (_, i) => Math.abs((at[ids[row * width + i] ?? NaN] ?? NaN) - normalizer - (logprobs[row * width + i] ?? NaN)));
    return Math.max(worst, ...differences);
  }, 0);
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
