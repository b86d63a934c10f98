import { cast, detach, greater, less, sub, and, not, type Value } from '../../model/graph/index.ts';
import type { LossTokens } from './loss-tokens.ts';

/**
 * 0 for tokens with a negative advantage in sequences whose mean of log π_behaviour − log π is above `threshold` (nats), else 1; a constant.
 * DeepSeek-V3.2, arXiv 2512.02556, section 3.1: what the policy has moved away from, and what was bad, teaches nothing and destabilizes.
 */
export function offPolicyMask(threshold: number, tokens: LossTokens, advantage: Value): Value {
  const divergence = tokens.sequenceMean(sub(tokens.trained(tokens.perToken('behaviourLogprob')), detach(tokens.trained(tokens.logprob))));
  return cast(not(and(less(advantage, 0), greater(divergence, threshold))), 'float32');
}
