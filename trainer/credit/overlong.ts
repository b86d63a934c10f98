/** The soft overlong punishment of DAPO (arXiv 2503.14476, equation 13): a reward for staying clear of the length limit. */

export interface OverlongOptions {
  /** L_max, tokens. */
  readonly maxTokens: number;
  /** L_cache: the punishment begins so many tokens before. */
  readonly cacheTokens: number;
  /** Past the maximum: −1 (the paper), or the slope goes on below (verl). */
  readonly beyond: 'floor' | 'slope';
}

/** 0 up to L_max − L_cache, then a line down to −1 at L_max. */
export function overlongPunishment(tokens: number, { maxTokens, cacheTokens, beyond }: OverlongOptions): number {
  const excess = tokens - (maxTokens - cacheTokens);
  if (excess <= 0) return 0;
  return beyond === 'floor' ? Math.max(-1, -excess / cacheTokens) : -excess / cacheTokens;
}
