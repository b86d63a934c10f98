/** A call's reward as rewards of its tokens. */

/** The whole of it at the last token. */
export function rewardAtEnd(tokens: number, reward: number): Float64Array {
  const rewards = new Float64Array(tokens);
  if (tokens > 0) rewards[tokens - 1] = reward;
  return rewards;
}

/** r_t − β·(log π_old − log π_ref)_t: the KL to the reference as a cost of each token (InstructGPT, arXiv 2203.02155, equation 2; verl's k1 in the reward). */
export function withKlCost(rewards: Float64Array, oldLogprobs: ArrayLike<number>, referenceLogprobs: ArrayLike<number>, coefficient: number): Float64Array {
  return rewards.map((reward, t) => reward - coefficient * ((oldLogprobs[t] ?? NaN) - (referenceLogprobs[t] ?? NaN)));
}
