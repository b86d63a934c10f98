/** Identical credit assignment: every call of a rollout gets the rollout's return (LightningRL, arXiv 2508.03680, section 3.3). */
import type { RewardedRollout } from './call-rewards.ts';

/** credit(τ, i) = R(τ). `[calls]` */
export function identicalCredit({ outcome, callRewards }: RewardedRollout): Float64Array {
  return new Float64Array(callRewards.length).fill(outcome);
}
