import { discountedReturns } from '../advantage/returns.ts';
import { rewardAtEnd } from '../advantage/token-rewards.ts';
import type { RewardedRollout } from './call-rewards.ts';

/** The rollout's return, discounted by the calls that came after: credit(τ, i) = γ^(N−1−i) · R(τ) for N calls. `[calls]` */
export function discountedCredit({ outcome, callRewards }: RewardedRollout, gamma: number): Float64Array {
  return discountedReturns(rewardAtEnd(callRewards.length, outcome), gamma);
}
