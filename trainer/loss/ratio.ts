/** The probability ratio π/π_old that clipping acts on, of a token or of its whole sequence. */
import { clip, detach, exp, sub, type Value } from '../../model/graph/index.ts';
import type { LossTokens } from './loss-tokens.ts';

/**
 * - `token`: r_t = π(token)/π_old(token) (PPO, arXiv 1707.06347, equation 6).
 * - `sequence`: the geometric mean over the sequence's tokens, the same for all of them (GSPO, arXiv 2507.18071, equation 7).
 * - `sequence-sum`: the ratio of the whole sequences' probabilities (RLOO, arXiv 2402.14740; TRL's RLOOTrainer clips it).
 */
export type Ratio = {
  /** `given`: the per-token input `oldLogprob`. `current`: the policy itself as a constant, so that the ratio is 1 and has the policy's gradient. */
  readonly old: 'given' | 'current';
  /** The log-ratio is held within ± this (verl: 20). Past it there is no gradient. */
  readonly logClamp?: number;
} & (
  | { readonly level: 'token' | 'sequence-sum' }
  /** `logMax`: the mean log-ratio is at most this (verl: 10). */
  | { readonly level: 'sequence'; readonly logMax?: number }
);

/** r per token, `[M]`; 1 at padding. */
export function policyRatio(ratio: Ratio, tokens: LossTokens): Value {
  const safe = ratio.level === 'token' ? tokens.counted : tokens.trained;
  const logprob = safe(tokens.logprob);
  const logRatio = sub(logprob, ratio.old === 'given' ? safe(tokens.perToken('oldLogprob')) : detach(logprob));
  const levelled = atLevel(ratio, logRatio, tokens);
  return exp(ratio.logClamp === undefined ? levelled : clip(levelled, -ratio.logClamp, ratio.logClamp));
}

function atLevel(ratio: Ratio, logRatio: Value, tokens: LossTokens): Value {
  if (ratio.level === 'sequence') {
    const mean = tokens.sequenceMean(logRatio);
    return ratio.logMax === undefined ? mean : clip(mean, -Infinity, ratio.logMax);
  }
  return ratio.level === 'token' ? logRatio : tokens.sequenceSum(logRatio);
}
