import { equal, mul, neg, reduceSum, where } from '../../model/graph/index.ts';
import type { LossFn } from '../learner.ts';

/** Cross-entropy: loss = −Σ_t weight_t · log π(token_t). */
export const supervisedLoss: LossFn = (tokens) => {
  const weight = tokens.perToken('weight');
  return { loss: neg(reduceSum(mul(where(equal(weight, 0), 0, tokens.logprob), weight))) };
};
