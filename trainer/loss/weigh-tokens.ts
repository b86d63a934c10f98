/** The parts of a policy loss that have no gradient, in float64: which tokens count, how much, and their importance weights. Pure. */
import { aggregationWeights, type Aggregation } from './aggregation.ts';
import { importanceWeights } from './importance.ts';
import { keptTokens } from './rejection.ts';
import type { PolicyLossSpec } from './spec.ts';

/** A sequence (step) of the minibatch; arrays are per trained token. */
export interface LossSequence {
  readonly rolloutId: string;
  readonly tokens: number;
  /** Cut off at the length limit. */
  readonly truncated: boolean;
  /** Under the policy at the start of the round. Both are read only by importance weights and rejection; without those they may be left out. */
  readonly oldLogprobs?: ArrayLike<number>;
  /** As sampled. */
  readonly behaviourLogprobs?: ArrayLike<number>;
}

/** Per token of one sequence: the inputs of those names. 0: the token does not count. */
export interface TokenWeights {
  readonly weight: Float64Array;
  readonly klWeight: Float64Array;
  readonly entropyWeight: Float64Array;
  readonly valueWeight: Float64Array;
  /** All 1 without a correction. */
  readonly importanceWeight: Float64Array;
}

/**
 * The weights of all tokens of a minibatch, by sequence in the order given: each aggregation is over the minibatch's sequences and counts only tokens that
 * were neither dropped nor rejected. Importance weights see all tokens that were not dropped.
 */
export function weighTokens(spec: PolicyLossSpec, sequences: readonly LossSequence[]): TokenWeights[] {
  const lengths = sequences.map(({ tokens, truncated }) => (spec.dropTruncated === true && truncated ? 0 : tokens));
  const logRatios = spec.importance || spec.rejection ? sequences.map((sequence, i) => behaviourLogRatios(sequence, lengths[i] ?? 0)) : [];
  const importance = spec.importance ? importanceWeights(spec.importance, logRatios) : null;
  const { rejection } = spec;
  const kept = sequences.map(({ tokens }, i) => {
    const trained = Array.from({ length: tokens }, (_, t) => t < (lengths[i] ?? 0));
    return rejection && trained[0] === true ? keptTokens(rejection, logRatios[i] ?? new Float64Array()) : trained;
  });

  const counted = sequences.map(({ rolloutId }, i) => ({ rolloutId, tokens: kept[i]?.filter(Boolean).length ?? 0 }));
  const weighted = (aggregation: Aggregation = spec.aggregation): ((sequence: number) => Float64Array) => {
    const weights = aggregationWeights(counted, aggregation);
    return (i) => Float64Array.from(kept[i] ?? [], (keep) => (keep ? weights[i] ?? 0 : 0));
  };
  const weight = weighted();
  const klWeight = weighted(spec.kl?.aggregation);
  const entropyWeight = weighted(spec.entropy?.aggregation);
  const valueWeight = weighted(spec.value?.aggregation);
  return sequences.map(({ tokens }, i) => ({
    weight: weight(i), klWeight: klWeight(i), entropyWeight: entropyWeight(i), valueWeight: valueWeight(i),
    importanceWeight: importance ? padded(importance[i] ?? [], tokens) : new Float64Array(tokens).fill(1),
  }));
}

function behaviourLogRatios({ oldLogprobs = [], behaviourLogprobs = [] }: LossSequence, length: number): Float64Array {
  return Float64Array.from({ length }, (_, t) => (oldLogprobs[t] ?? NaN) - (behaviourLogprobs[t] ?? NaN));
}

/** Dropped sequences have no weights: 0. */
function padded(values: ArrayLike<number>, length: number): Float64Array {
  const out = new Float64Array(length);
  out.set(values);
  return out;
}
