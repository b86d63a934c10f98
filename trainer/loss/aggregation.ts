/** How the losses of single tokens become one number: as a weight per token, so that loss = Σ weight · tokenLoss. */

/**
 * - `token-mean`: Σ over all tokens / their number, or / `normalizer` (DAPO, arXiv 2503.14476, equation 12).
 * - `seq-mean-token-mean`: mean over sequences of the mean over a sequence's tokens (GRPO, arXiv 2402.03300, equation 3).
 * - `seq-mean-token-sum`: mean over sequences of the sum over a sequence's tokens (a completion is one action: RLOO, arXiv 2402.14740);
 *   with `normalizer` the sum is divided by that same constant for all sequences (Dr. GRPO, arXiv 2503.20783).
 * - `per-rollout-mean`: mean over rollouts of the mean over a rollout's tokens, so that a rollout with many calls does not outweigh one with few.
 *   Divided by the number of `rollouts` that have tokens, or by the number of all `sequences` (Agent Lightning's own form).
 *
 * `sequences` says which a mean over sequences counts: those with a token that counts (`nonempty`), or `all`, also those that were left out.
 */
export type Aggregation =
  | { readonly mode: 'token-mean'; readonly normalizer?: number }
  | { readonly mode: 'seq-mean-token-mean'; readonly sequences: 'nonempty' | 'all' }
  | { readonly mode: 'seq-mean-token-sum'; readonly sequences: 'nonempty' | 'all'; readonly normalizer?: number }
  | { readonly mode: 'per-rollout-mean'; readonly denominator: 'rollouts' | 'sequences' };

/** A sequence as aggregation sees it. */
export interface CountedSequence {
  readonly rolloutId: string;
  /** Its tokens that count. */
  readonly tokens: number;
}

/** The weight of each token of each sequence; a sequence's tokens share one. Sequences without tokens weigh 0. */
export function aggregationWeights(sequences: readonly CountedSequence[], aggregation: Aggregation): Float64Array {
  const denominator = denominatorOf(sequences, aggregation);
  return Float64Array.from(sequences, (sequence) => (sequence.tokens === 0 ? 0 : 1 / denominator(sequence)));
}

function denominatorOf(sequences: readonly CountedSequence[], aggregation: Aggregation): (sequence: CountedSequence) => number {
  const nonempty = sequences.filter(({ tokens }) => tokens > 0);
  if (aggregation.mode === 'token-mean') {
    const tokens = aggregation.normalizer ?? nonempty.reduce((sum, sequence) => sum + sequence.tokens, 0);
    return () => tokens;
  }
  if (aggregation.mode === 'per-rollout-mean') {
    const rolloutTokens = new Map<string, number>();
    for (const { rolloutId, tokens } of nonempty) rolloutTokens.set(rolloutId, (rolloutTokens.get(rolloutId) ?? 0) + tokens);
    const count = aggregation.denominator === 'rollouts' ? rolloutTokens.size : sequences.length;
    return ({ rolloutId }) => (rolloutTokens.get(rolloutId) ?? 0) * count;
  }
  const count = aggregation.sequences === 'all' ? sequences.length : nonempty.length;
  if (aggregation.mode === 'seq-mean-token-mean') return ({ tokens }) => tokens * count;
  const { normalizer = 1 } = aggregation;
  return () => count * normalizer;
}
