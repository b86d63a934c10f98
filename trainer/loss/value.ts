/** The loss of a value head. */
import { add, max, min, mul, sub, type Value } from '../../model/graph/index.ts';
import type { Aggregation } from './aggregation.ts';

/**
 * ½·max((V−R)², (clip(V, V_old−ε, V_old+ε)−R)²), of a token (c₁·L^VF of PPO, arXiv 1707.06347, equation 9, with
 * the clip and the ½ of its reference code; arXiv 2006.05990 measures what the clip does).
 */
export interface ValueTerm {
  /** c₁. */
  readonly coefficient: number;
  /** ε. Default: not clipped. */
  readonly clip?: number;
  /** Default: as the loss is. */
  readonly aggregation?: Aggregation;
}

/** Per token. `oldValue` is asked for only when the loss is clipped. */
export function valueLoss(value: Value, returns: Value, clip: { readonly range: number; readonly oldValue: Value } | null): Value {
  const squaredError = squared(sub(value, returns));
  if (!clip) return mul(squaredError, 0.5);
  const clipped = max(min(value, add(clip.oldValue, clip.range)), sub(clip.oldValue, clip.range));
  return mul(max(squaredError, squared(sub(clipped, returns))), 0.5);
}

function squared(x: Value): Value {
  return mul(x, x);
}
