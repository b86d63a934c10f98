import { discountedReturns } from '../advantage/returns.ts';
import type { RewardedRollout } from './call-rewards.ts';

/** Rewards to go: what the call itself earned and, discounted, what the calls after it earned: credit(τ, i) = Σ_k γ^k · r_{i+k}. With γ = 0 its own rewards alone. `[calls]` */
export function rewardsToGo({ callRewards }: RewardedRollout, gamma: number): Float64Array {
  return discountedReturns(callRewards, gamma);
}
