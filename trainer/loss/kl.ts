/**
 * Estimates of KL(π, π_ref) from tokens sampled from π (Schulman, joschu.net/blog/kl-approx.html), as terms of a loss. With q = log π − log π_ref:
 *
 * - `k1` = q: unbiased, but its gradient is 0 on average.  - `abs` = |q|.
 * - `k2` = q²/2: biased, but its gradient is that of the KL (arXiv 2506.09477).
 * - `k3` = e^−q + q − 1: unbiased, never negative (GRPO, arXiv 2402.03300, equation 4).
 * - `k1+`, `k3+`: the value of k1 or k3, the gradient of k2 (verl's straight-through form).
 */
import { abs, add, clip, detach, exp, mul, neg, sub, type Value } from '../../model/graph/index.ts';
import type { Aggregation } from './aggregation.ts';

export type KlEstimator =
  | { readonly estimator: 'k1' | 'abs' | 'k2' | 'k1+' }
  | {
    readonly estimator: 'k3' | 'k3+';
    /** q is held within ± this, so that one token cannot overflow float32 (verl: 20). Past it there is no gradient. */
    readonly logRatioClamp?: number;
    /** The estimate is held within ± this (verl: 10). Past it there is no gradient. */
    readonly valueClamp?: number;
  };

export type KlTerm = KlEstimator & {
  /** β. */
  readonly coefficient: number;
  /** Times π/π_old (the policy term's own ratio), with its gradient: unbiased also off policy (DeepSeek-V3.2, arXiv 2512.02556, section 3.1). */
  readonly importanceCorrected?: boolean;
  /** Default: as the loss is. */
  readonly aggregation?: Aggregation;
};

/** The estimate per token; `logprob` and `referenceLogprob` have one shape. Without β, weights and correction. */
export function klEstimate(kl: KlEstimator, logprob: Value, referenceLogprob: Value): Value {
  const q = sub(logprob, referenceLogprob);
  const k2 = (): Value => mul(mul(q, q), 0.5);
  if (kl.estimator === 'k3' || kl.estimator === 'k3+') {
    const held = clamp(q, kl.logRatioClamp);
    const k3 = clamp(sub(add(exp(neg(held)), held), 1), kl.valueClamp);
    return kl.estimator === 'k3' ? k3 : straightThrough(k3, k2());
  }
  if (kl.estimator === 'k2') return k2();
  if (kl.estimator === 'k1+') return straightThrough(q, k2());
  return kl.estimator === 'abs' ? abs(q) : q;
}

function clamp(x: Value, bound: number | undefined): Value {
  return bound === undefined ? x : clip(x, -bound, bound);
}

/** The value of one, the gradient of the other. */
function straightThrough(value: Value, gradient: Value): Value {
  return add(detach(value), sub(gradient, detach(gradient)));
}
