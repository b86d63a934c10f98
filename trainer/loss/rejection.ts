/**
 * Rejection: tokens or whole sequences are taken out of the loss where the sampler and the policy at the start of the update differ too much
 * (verl's rollout rejection sampling; Liu et al., richardli.xyz/rl-collapse). With x = log π_old − log π_behaviour of a token, held within ±20:
 * k1 = −x, k2 = x²/2, k3 = e^x − 1 − x.
 */

export type Rejection = {
  /** The statistic of each token decides on it; or its sum, mean or maximum over the sequence decides on the whole sequence. */
  readonly level: 'token' | 'sequence-sum' | 'sequence-mean' | 'sequence-max';
} & (
  /** Kept when min ≤ e^k1 ≤ max: bounds of the quotient π_behaviour / π_old. */
  | { readonly statistic: 'k1'; readonly min: number; readonly max: number }
  /** Kept when the statistic is at most this. */
  | { readonly statistic: 'k2' | 'k3'; readonly max: number }
);

/** @param logRatios log π_old − log π_behaviour of each token of one sequence  @returns whether each token stays */
export function keptTokens(rejection: Rejection, logRatios: Float64Array): boolean[] {
  const statistics = Array.from(logRatios, (logRatio) => statisticOf(rejection.statistic, Math.max(-20, Math.min(20, logRatio))));
  const [low, high] = rejection.statistic === 'k1' ? [Math.log(rejection.min), Math.log(rejection.max)] : [-Infinity, rejection.max];
  const within = (statistic: number): boolean => statistic >= low && statistic <= high;
  if (rejection.level === 'token') return statistics.map(within);
  const kept = within(summarized(rejection.level, statistics));
  return statistics.map(() => kept);
}

function statisticOf(statistic: Rejection['statistic'], x: number): number {
  if (statistic === 'k1') return -x;
  return statistic === 'k2' ? (x * x) / 2 : Math.expm1(x) - x;
}

function summarized(level: 'sequence-sum' | 'sequence-mean' | 'sequence-max', statistics: readonly number[]): number {
  if (level === 'sequence-max') return statistics.reduce((max, x) => Math.max(max, x), -Infinity);
  const sum = statistics.reduce((total, x) => total + x, 0);
  return level === 'sequence-sum' ? sum : sum / statistics.length;
}
