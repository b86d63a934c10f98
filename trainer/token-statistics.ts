/** Running statistics of trained tokens: how far the policy is from the one at the start of the round, and from those that sampled them. */
import type { PolicyTerm } from './loss/policy-term.ts';

/** The tokens of one call. All `[tokens]`. */
export interface CallFacts {
  readonly logprobs: ArrayLike<number>;
  readonly oldLogprobs: ArrayLike<number>;
  readonly behaviourLogprobs: ArrayLike<number>;
  readonly advantages: ArrayLike<number>;
  /** Nats. */
  readonly entropy: ArrayLike<number>;
}

export class TokenStatistics {
  readonly #term: PolicyTerm | null;
  #tokens = 0;
  #ratio = 0;
  #ratioMax = 0;
  #clipped = 0;
  #entropy = 0;
  #k3 = 0;

  /** @param term whose ratio and bounds are counted; a term without a ratio has the tokens' own, and no bounds */
  constructor(term: PolicyTerm | null) {
    this.#term = term;
  }

  addCall({ logprobs, oldLogprobs, behaviourLogprobs, advantages, entropy }: CallFacts): void {
    const logRatios = levelled(this.#term, differences(logprobs, oldLogprobs));
    const fromBehaviour = differences(logprobs, behaviourLogprobs);
    for (const [t, logRatio] of logRatios.entries()) {
      const ratio = Math.exp(logRatio);
      this.#tokens++;
      this.#ratio += ratio;
      this.#ratioMax = Math.max(this.#ratioMax, ratio);
      if (isBounded(this.#term, ratio, advantages[t] ?? NaN)) this.#clipped++;
      this.#entropy += entropy[t] ?? NaN;
      const moved = fromBehaviour[t] ?? NaN;
      this.#k3 += Math.expm1(moved) - moved;
    }
  }

  get tokens(): number {
    return this.#tokens;
  }
  /** Mean of π / π_old, of tokens or calls as the loss has it. */
  get ratioMean(): number {
    return this.#mean(this.#ratio);
  }
  get ratioMax(): number {
    return this.#ratioMax;
  }
  /** Share of the tokens whose ratio was bounded: whose gradient the clip cut off, or (CISPO) whose weight it made smaller or larger. */
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

function differences(a: ArrayLike<number>, b: ArrayLike<number>): Float64Array {
  return Float64Array.from({ length: a.length }, (_, t) => (a[t] ?? NaN) - (b[t] ?? NaN));
}

/** A sequence-level term has one ratio for all tokens of a call. */
function levelled(term: PolicyTerm | null, logRatios: Float64Array): Float64Array {
  const level = term === null || term.type === 'reinforce' ? 'token' : term.ratio.level;
  if (level === 'token') return logRatios;
  const sum = logRatios.reduce((total, logRatio) => total + logRatio, 0);
  return logRatios.fill(level === 'sequence' ? sum / logRatios.length : sum);
}

function isBounded(term: PolicyTerm | null, ratio: number, advantage: number): boolean {
  if (term?.type === 'cispo') return ratio > term.ratioMax || ratio < (term.ratioMin ?? 0);
  if (term?.type === 'clip') return (advantage > 0 && ratio > 1 + term.clipHigh) || (advantage < 0 && ratio < 1 - term.clipLow);
  return false;
}
