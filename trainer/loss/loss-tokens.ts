/** The trained tokens of a micro-batch as the parts of a policy loss see them: nothing unbounded comes out of a place that does not count. */
import { detach, div, equal, max, where, type Value } from '../../model/graph/index.ts';
import type { TokenValues } from '../learner.ts';

export interface LossTokens {
  /** `[M]`, raw: also what lies under padding. */
  readonly logprob: Value;
  /** `[M]`, raw. */
  readonly perToken: TokenValues['perToken'];
  /** 0 instead of x at tokens without weight: padding, dropped and rejected ones. */
  readonly counted: (x: Value) => Value;
  /** 0 instead of x at padding. Rejected tokens are still part of their sequence. */
  readonly trained: (x: Value) => Value;
  /** Σ over the trained tokens of a token's sequence, for each token. x is 0 at padding. */
  readonly sequenceSum: (x: Value) => Value;
  readonly sequenceMean: (x: Value) => Value;
}

export function lossTokens(tokens: TokenValues): LossTokens {
  const { logprob, perToken, sequenceSum } = tokens;
  const zeroUnless = (input: 'weight' | 'trained') => (x: Value): Value => where(equal(perToken(input), 0), 0, x);
  return {
    logprob, perToken, sequenceSum,
    counted: zeroUnless('weight'),
    trained: zeroUnless('trained'),
    sequenceMean: (x) => div(sequenceSum(x), detach(max(sequenceSum(perToken('trained')), 1))),
  };
}
