/** What an algorithm is: how it values what was done, and the loss that follows from it. One short file each; the parts they share are in `advantage/` and `loss/`. */
import type { PolicyLossSpec } from '../loss/spec.ts';

export interface Algorithm {
  /** It compares the rollouts of a task: steps without one are of no use to it. */
  readonly grouped: boolean;
  /** Groups whose rollouts all got the same are left out, also of the loss's denominators. */
  readonly dropsEvenGroups?: boolean;
  /** Its advantages are made of log-probs under the reference policy, too. */
  readonly rewardsHoldReference?: boolean;
  /** One for each call. */
  advantages(calls: readonly Call[]): TokenAdvantages[];
  readonly loss: PolicyLossSpec;
}

/** One call (step) as advantages see it. Arrays are `[tokens]`, and are there only where they were asked for. */
export interface Call {
  /** The rollouts of a task; a rollout without one is a group of its own. */
  readonly taskId: string;
  readonly rolloutId: string;
  /** Its share of its rollout's return. */
  readonly credit: number;
  readonly tokens: number;
  /** Natural log-probs under the policy at the start of the round. */
  readonly oldLogprobs: ArrayLike<number>;
  readonly referenceLogprobs?: ArrayLike<number>;
  /** V(s_t) at the start of the round. */
  readonly values?: ArrayLike<number>;
}

export interface TokenAdvantages {
  /** `[tokens]` */
  readonly advantages: Float64Array;
  /** `[tokens]` what a value head is trained on. */
  readonly returns?: Float64Array;
}

/** One number a call, the same for all of its tokens. */
export function spread(calls: readonly Call[], advantages: Float64Array): TokenAdvantages[] {
  return calls.map(({ tokens }, i) => ({ advantages: new Float64Array(tokens).fill(advantages[i] ?? NaN) }));
}
