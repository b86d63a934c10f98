/** Estimates of KL divergence from sampled tokens (Schulman, joschu.net/blog/kl-approx.html). */
import { clip, exp, sub, type Value } from '../../model/graph/index.ts';

/**
 * k3 of KL(policy, reference), per token: e^q − q − 1 with q = log π_ref − log π (DeepSeekMath, arXiv 2402.03300, equation 4). Never negative.
 * q is held within ±20, as verl does, so that one token cannot overflow float32.
 */
export function k3(logprob: Value, referenceLogprob: Value): Value {
  const q = clip(sub(referenceLogprob, logprob), -20, 20);
  return sub(sub(exp(q), q), 1);
}
