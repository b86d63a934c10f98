/** A rollout's rewards, laid along its calls. */

export interface GivenReward {
  readonly value: number;
  readonly kind: 'outcome' | 'intermediate';
  /** The place in its attempt of the call that it was given to; null: it was given to the rollout, or to a call that is not known here. */
  readonly sequence: number | null;
}

export interface RewardedRollout {
  /** R(τ): the sum of its outcome rewards, those of its calls included. */
  readonly outcome: number;
  /** `[calls]` what each call earned, intermediate rewards included; what was given to the rollout is earned by its last call. */
  readonly callRewards: Float64Array;
}

/**
 * @param sequences of the calls that are trained on, ascending. A reward of another call (of another agent, say) is earned by the last of these up
 * to it; if there is none, it came before all of them and is none of theirs.
 */
export function layRewards(sequences: readonly number[], rewards: readonly GivenReward[]): RewardedRollout {
  const callRewards = new Float64Array(sequences.length);
  let outcome = 0;
  for (const { value, kind, sequence } of rewards) {
    if (kind === 'outcome') outcome += value;
    const earner = sequences.findLastIndex((own) => own <= (sequence ?? Infinity));
    if (earner >= 0) callRewards[earner] = (callRewards[earner] as number) + value; // the earner is one of the calls
  }
  return { outcome, callRewards };
}
