/** Returns and generalized advantages of one sequence of rewards: the tokens of a call, or the calls of a rollout. What lies between them (a tool's output) is no time step. */

/** G_t = r_t + γ·G_{t+1}. */
export function discountedReturns(rewards: ArrayLike<number>, gamma: number): Float64Array {
  const returns = new Float64Array(rewards.length);
  let next = 0;
  for (let t = rewards.length - 1; t >= 0; t--) {
    next = (rewards[t] as number) + gamma * next; // t is within the rewards
    returns[t] = next;
  }
  return returns;
}

export interface GaeOptions {
  readonly gamma: number;
  readonly lambda: number;
  /** The value of what comes after the last reward: 0 where the sequence truly ended, else (it was cut off) what a value function says. */
  readonly bootstrap?: number;
}

export interface GeneralizedAdvantages {
  readonly advantages: Float64Array;
  /** Advantage + value: what the value function is trained on. */
  readonly returns: Float64Array;
}

/**
 * Generalized advantage estimation (arXiv 1506.02438, equation 16): δ_t = r_t + γ·V_{t+1} − V_t, Â_t = δ_t + γλ·Â_{t+1}.
 * @param values V_t, as many as rewards
 */
export function generalizedAdvantages(rewards: ArrayLike<number>, values: ArrayLike<number>, { gamma, lambda, bootstrap = 0 }: GaeOptions): GeneralizedAdvantages {
  if (values.length !== rewards.length) throw new RangeError(`${values.length} values for ${rewards.length} rewards`);
  const advantages = new Float64Array(rewards.length);
  const returns = new Float64Array(rewards.length);
  let nextValue = bootstrap;
  let next = 0;
  for (let t = rewards.length - 1; t >= 0; t--) {
    const value = values[t] as number; // t is within both
    next = (rewards[t] as number) + gamma * nextValue - value + gamma * lambda * next;
    advantages[t] = next;
    returns[t] = next + value;
    nextValue = value;
  }
  return { advantages, returns };
}
