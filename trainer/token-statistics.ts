/** Running statistics of trained tokens: how far the policy is from the one that sampled them. */

export interface TokenFacts {
  readonly logprob: number;
  readonly behaviourLogprob: number;
  readonly advantage: number;
  /** Nats. */
  readonly entropy: number;
}

export class TokenStatistics {
  readonly #clipLow: number;
  readonly #clipHigh: number;
  #tokens = 0;
  #ratio = 0;
  #ratioMax = 0;
  #clipped = 0;
  #entropy = 0;
  #k3 = 0;

  constructor(clip: { readonly clipLow: number; readonly clipHigh: number }) {
    this.#clipLow = clip.clipLow;
    this.#clipHigh = clip.clipHigh;
  }

  add({ logprob, behaviourLogprob, advantage, entropy }: TokenFacts): void {
    const logRatio = logprob - behaviourLogprob;
    const ratio = Math.exp(logRatio);
    this.#tokens++;
    this.#ratio += ratio;
    this.#ratioMax = Math.max(this.#ratioMax, ratio);
    if ((advantage > 0 && ratio > 1 + this.#clipHigh) || (advantage < 0 && ratio < 1 - this.#clipLow)) this.#clipped++;
    this.#entropy += entropy;
    this.#k3 += Math.expm1(logRatio) - logRatio;
  }

  get tokens(): number {
    return this.#tokens;
  }
  /** Mean of π / π_behaviour. */
  get ratioMean(): number {
    return this.#mean(this.#ratio);
  }
  get ratioMax(): number {
    return this.#ratioMax;
  }
  /** Share of the tokens whose gradient the clip cut off. */
  get clipFraction(): number {
    return this.#mean(this.#clipped);
  }
  /** Mean, nats. */
  get entropy(): number {
    return this.#mean(this.#entropy);
  }
  /** k3 estimate of KL(π_behaviour, π), nats a token: r − 1 − log r over tokens sampled from π_behaviour. */
  get klFromBehaviour(): number {
    return this.#mean(this.#k3);
  }

  #mean(sum: number): number {
    return this.#tokens === 0 ? 0 : sum / this.#tokens;
  }
}
