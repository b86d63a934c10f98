/** Identical credit assignment: every call of a rollout gets the rollout's return (LightningRL, arXiv 2508.03680, section 3.3). */

export interface RewardedRollout {
  readonly rolloutId: string;
  /** The live outcome rewards of the rollout and of its steps. */
  readonly outcomeRewards: readonly number[];
}

/** R(τ) = Σ r: the sum of the rollout's live outcome rewards, in float64. */
export function rolloutReturn(rollout: RewardedRollout): number {
  return rollout.outcomeRewards.reduce((sum, reward) => sum + reward, 0);
}

/**
 * credit(τ, i) = R(τ) for each call i of rollout τ.
 * Throws if a call's rollout is not among `rollouts`.
 */
export function identicalCredit(calls: readonly { readonly rolloutId: string }[], rollouts: readonly RewardedRollout[]): Float64Array {
  const returns = new Map(rollouts.map((rollout) => [rollout.rolloutId, rolloutReturn(rollout)]));
  return Float64Array.from(calls, ({ rolloutId }) => {
    const credit = returns.get(rolloutId);
    if (credit === undefined) throw new Error(`no return for rollout ${rolloutId}`);
    return credit;
  });
}
