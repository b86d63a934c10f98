/**
 * Importance weights π_old / π_behaviour for a sampler that computes other probabilities than the trainer: truncated (TIS) or masked (MIS).
 * Constants of the loss, so computed here in float64.
 * Yao et al., "Your Efficient RL Framework Secretly Brings You Off-Policy RL Training", fengyao.notion.site/off-policy-rl (TIS);
 * Liu et al., "When Speed Kills Stability", richardli.xyz/rl-collapse (sequence level, MIS); IcePop, arXiv 2510.18855 (masked, two-sided).
 */

export interface ImportanceCorrection {
  /** A weight for each token, or the product over the sequence for all of its tokens. */
  readonly level: 'token' | 'sequence';
  /** Outside [min, max] a weight becomes the nearest bound (TIS), or 0, with the denominators of the aggregation as they were (MIS). */
  readonly mode: 'truncate' | 'mask';
  /** Default: no lower bound. */
  readonly min?: number;
  readonly max: number;
  /** The (summed) log-ratio is held within ± this first (verl: 20). */
  readonly logRatioClamp?: number;
  /** Weights are divided by their mean over the minibatch's tokens, or at sequence level over its sequences (verl's batch normalization). */
  readonly normalize?: boolean;
}

/** @param logRatios log π_old − log π_behaviour of each token, by sequence  @returns a weight for each token, by sequence */
export function importanceWeights(correction: ImportanceCorrection, logRatios: readonly Float64Array[]): Float64Array[] {
  const weights = logRatios.map((tokens) => {
    if (correction.level === 'token') return tokens.map((x) => bounded(correction, x));
    return new Float64Array(tokens.length).fill(bounded(correction, tokens.reduce((sum, x) => sum + x, 0)));
  });
  if (correction.normalize !== true) return weights;
  const counted = correction.level === 'token' ? weights.flatMap((tokens) => [...tokens]) : weights.flatMap((tokens) => [...tokens.subarray(0, 1)]);
  const mean = counted.reduce((sum, weight) => sum + weight, 0) / counted.length;
  return mean > 0 ? weights.map((tokens) => tokens.map((weight) => weight / mean)) : weights;
}

function bounded({ mode, min = 0, max, logRatioClamp = Infinity }: ImportanceCorrection, logRatio: number): number {
  const weight = Math.exp(Math.max(-logRatioClamp, Math.min(logRatioClamp, logRatio)));
  if (mode === 'truncate') return Math.max(min, Math.min(max, weight));
  return weight < min || weight > max ? 0 : weight;
}
