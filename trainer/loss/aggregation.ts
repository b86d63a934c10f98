/** How the losses of single tokens become one number: as a weight per token, so that loss = Σ weight · tokenLoss. */

export const aggregations = ['token-mean', 'seq-mean-token-mean', 'per-rollout-mean'] as const;
export type Aggregation = (typeof aggregations)[number];

/** One call (a policy step): `tokens` trained tokens of one rollout. */
export interface WeighedCall {
  readonly rolloutId: string;
  readonly tokens: number;
}

/**
 * The weight of each token of each call; a call's tokens share one weight. The weights of all tokens sum to 1.
 *
 * - `token-mean`: 1 / all tokens (DAPO, arXiv 2503.14476, equation 8).
 * - `seq-mean-token-mean`: mean over calls of the mean over a call's tokens (GRPO, arXiv 2402.03300, equation 3).
 * - `per-rollout-mean`: mean over rollouts of the mean over a rollout's tokens, so that a rollout with many calls does not outweigh one with few.
 *
 * Calls without tokens weigh nothing and are not counted.
 */
export function tokenWeights(calls: readonly WeighedCall[], aggregation: Aggregation): Float64Array {
  if (aggregation === 'token-mean') {
    const tokens = calls.reduce((sum, call) => sum + call.tokens, 0);
    return Float64Array.from(calls, (call) => weight(call.tokens, tokens));
  }
  if (aggregation === 'seq-mean-token-mean') {
    const sequences = calls.filter((call) => call.tokens > 0).length;
    return Float64Array.from(calls, (call) => weight(call.tokens, call.tokens * sequences));
  }
  const rolloutTokens = new Map<string, number>();
  for (const call of calls) if (call.tokens > 0) rolloutTokens.set(call.rolloutId, (rolloutTokens.get(call.rolloutId) ?? 0) + call.tokens);
  return Float64Array.from(calls, (call) => weight(call.tokens, (rolloutTokens.get(call.rolloutId) ?? 0) * rolloutTokens.size));
}

function weight(tokens: number, denominator: number): number {
  return tokens === 0 ? 0 : 1 / denominator;
}
