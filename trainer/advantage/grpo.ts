/** Group-relative advantages: GRPO, equation 3 and section 4.1.2 of DeepSeekMath (arXiv 2402.03300). */

export interface CreditedCall {
  /** The group: rollouts of one task. */
  readonly taskId: string;
  readonly rolloutId: string;
  readonly credit: number;
}

export interface GrpoOptions {
  /**
   * `calls`: statistics over all calls of all rollouts of the task (LightningRL, arXiv 2508.03680, section 3.3).
   * `rollouts`: over the rollouts, so that one with many calls does not move the baseline; a rollout's value is the mean credit of its calls.
   */
  readonly group: 'calls' | 'rollouts';
  readonly normalizeByStd: boolean;
  /** Added to the standard deviation. */
  readonly epsilon: number;
}

/**
 * Â_i = (r_i − mean(r)) / (std(r) + ε), with r the credits of the call's group and std the sample deviation (ddof 1).
 * A group whose credits are all equal, a group of one included, has nothing to compare: advantage 0, exactly.
 * Everything is float64: in float32 seven rewards of 0.7 would get 0.056.
 */
export function grpoAdvantages(calls: readonly CreditedCall[], options: GrpoOptions): Float64Array {
  const groups = new Map<string, Group>();
  for (const [taskId, members] of groupBy(calls, (call) => call.taskId)) groups.set(taskId, statistics(groupValues(members, options.group)));
  return Float64Array.from(calls, ({ taskId, credit }) => {
    const group = groups.get(taskId);
    if (group === undefined || group.std === 0) return 0;
    const centred = credit - group.mean;
    return options.normalizeByStd ? centred / (group.std + options.epsilon) : centred;
  });
}

interface Group {
  readonly mean: number;
  readonly std: number;
}

function groupValues(calls: readonly CreditedCall[], unit: GrpoOptions['group']): number[] {
  if (unit === 'calls') return calls.map((call) => call.credit);
  return [...groupBy(calls, (call) => call.rolloutId).values()].map((own) => mean(own.map((call) => call.credit)));
}

function statistics(values: readonly number[]): Group {
  const first = values[0];
  // Equal values must give 0 exactly; their computed mean may be off by one rounding.
  if (values.every((value) => value === first)) return { mean: first ?? 0, std: 0 };
  const centre = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - centre) ** 2, 0);
  return { mean: centre, std: Math.sqrt(squares / (values.length - 1)) };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function groupBy<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group) group.push(item);
    else groups.set(key(item), [item]);
  }
  return groups;
}
