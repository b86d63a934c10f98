/**
 * The GRPO loss: equation 3 of DeepSeekMath (arXiv 2402.03300), which is PPO's clipped surrogate (equation 7 of arXiv 1707.06347) with a KL
 * term in the loss. Negated, because it is minimized.
 */
import { add, clip, equal, exp, min, mul, neg, reduceSum, sub, where, type Value } from '../../model/graph/index.ts';
import type { LossFn } from '../learner.ts';
import { k3 } from './kl.ts';

export interface GrpoLossOptions {
  /** ε below and above 1; equal in PPO, different in DAPO (arXiv 2503.14476, equation 10). */
  readonly clipLow: number;
  readonly clipHigh: number;
  /** β, the weight of the KL to the reference policy. */
  readonly klCoefficient: number;
  readonly entropyCoefficient: number;
}

/** The per-token inputs that this loss asks for. */
export function grpoInputs(options: GrpoLossOptions): ('behaviourLogprob' | 'advantage' | 'weight' | 'referenceLogprob' | 'entropyWeight')[] {
  return [
    'behaviourLogprob', 'advantage', 'weight',
    ...(options.klCoefficient > 0 ? ['referenceLogprob' as const] : []),
    ...(options.entropyCoefficient > 0 ? ['entropyWeight' as const] : []),
  ];
}

/**
 * loss = Σ_t weight_t · ( −min(r_t·Â_t, clip(r_t, 1−ε_low, 1+ε_high)·Â_t) + β·k3_t ) − Σ_t entropyWeight_t · H_t
 *
 * with r_t = π(token) / π_behaviour(token). The log-ratio is held within ±20 (as verl does): past that the ratio overflows float32
 * and means nothing. `entropyWeight` holds the entropy coefficient.
 */
export function grpoLoss(options: GrpoLossOptions): LossFn {
  return (tokens) => {
    const weight = tokens.perToken('weight');
    const padding = equal(weight, 0);
    const trained = (value: Value): Value => where(padding, 0, value);
    const logprob = trained(tokens.logprob);
    const advantage = trained(tokens.perToken('advantage'));

    const ratio = exp(clip(sub(logprob, trained(tokens.perToken('behaviourLogprob'))), -20, 20));
    const clipped = clip(ratio, 1 - options.clipLow, 1 + options.clipHigh);
    const surrogate = neg(min(mul(ratio, advantage), mul(clipped, advantage)));
    const penalized = options.klCoefficient > 0
      ? add(surrogate, mul(k3(logprob, trained(tokens.perToken('referenceLogprob'))), options.klCoefficient))
      : surrogate;
    const loss = reduceSum(mul(penalized, weight));
    return { loss: options.entropyCoefficient > 0 ? sub(loss, reduceSum(mul(trained(tokens.entropy), tokens.perToken('entropyWeight')))) : loss };
  };
}
