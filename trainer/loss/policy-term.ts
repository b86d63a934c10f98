/** The policy-gradient term of one token's loss (negated objectives: a loss is minimized). Â is the advantage, r the ratio. */
import { clip, detach, less, min, mul, neg, where, type Value } from '../../model/graph/index.ts';
import type { Ratio } from './ratio.ts';

export type PolicyTerm = Reinforce | Clip | Cispo;

/** −Â·log π (REINFORCE; Williams 1992, doi 10.1007/BF00992696). */
export interface Reinforce {
  readonly type: 'reinforce';
}

/**
 * −min(r·Â, clip(r, 1−ε_low, 1+ε_high)·Â): PPO (arXiv 1707.06347, equation 7), with two ε as in DAPO (arXiv 2503.14476, equation 10).
 */
export interface Clip {
  readonly type: 'clip';
  readonly ratio: Ratio;
  readonly clipLow: number;
  readonly clipHigh: number;
  /** r is at most this in the unclipped product too: a bound for negative advantages (two-sided clipping of INTELLECT-2, arXiv 2505.07291; TRL's `delta`). */
  readonly ratioMax?: number;
  /** c > 1: for a negative advantage the loss is at most −c·Â (dual-clip PPO, arXiv 1912.09729). */
  readonly dualClip?: number;
}

/** −sg(clip(r, ratioMin, ratioMax))·Â·log π: every token keeps its gradient (CISPO, MiniMax-M1, arXiv 2506.13585, equations 4 and 5). */
export interface Cispo {
  readonly type: 'cispo';
  readonly ratio: Ratio;
  /** Default: no lower bound, as in the paper. */
  readonly ratioMin?: number;
  readonly ratioMax: number;
}

/** The term per token, `[M]`. `ratio` is the term's own, computed; null for the one that has none. */
export function policyTerm(term: PolicyTerm, logprob: Value, advantage: Value, ratio: Value | null): Value {
  if (term.type === 'reinforce' || !ratio) return neg(mul(advantage, logprob));
  if (term.type === 'cispo') return neg(mul(mul(detach(clip(ratio, term.ratioMin ?? 0, term.ratioMax)), advantage), logprob));
  const bounded = term.ratioMax === undefined ? ratio : clip(ratio, 0, term.ratioMax);
  const surrogate = neg(min(mul(bounded, advantage), mul(clip(ratio, 1 - term.clipLow, 1 + term.clipHigh), advantage)));
  if (term.dualClip === undefined) return surrogate;
  return where(less(advantage, 0), min(surrogate, mul(advantage, -term.dualClip)), surrogate);
}
