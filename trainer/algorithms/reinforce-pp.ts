/**
 * REINFORCE++ (arXiv 2501.03262, section 3): PPO's clipped loss without a value function. A call's credit is the reward of its last token, the KL to the reference a
 * cost of each; advantages are the returns, whitened over all tokens of the batch. It needs no groups.
 */
import type { AlgorithmOf, CorrectionConfig } from '../../config/algorithms.ts';
import { discountedReturns } from '../advantage/returns.ts';
import { whiten } from '../advantage/whiten.ts';
import type { Algorithm } from './algorithm.ts';
import { clipTerm, commonParts, tokenRewards } from './parts.ts';

export function reinforcePp(settings: AlgorithmOf<'reinforce-pp'>, correction: CorrectionConfig): Algorithm {
  return {
    grouped: false,
    rewardsHoldReference: settings.klCost > 0,
    advantages: (calls) => whiten(calls.map((call) => discountedReturns(tokenRewards(call, settings.klCost), settings.gamma))).map((advantages) => ({ advantages })),
    loss: { ...commonParts(settings, correction), policy: clipTerm(settings, 'token') },
  };
}
