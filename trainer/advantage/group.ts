/** Advantages relative to a group, the rollouts of one task: GRPO and what descends from it. One number a call. */
import { deviation, groupBy, mean } from './statistics.ts';

export interface CreditedCall {
  /** The group: rollouts of one task. */
  readonly taskId: string;
  readonly rolloutId: string;
  readonly credit: number;
}

/** Whose credits a group's statistics are over. */
export type GroupUnit =
  /** All calls of all rollouts of the task (LightningRL, arXiv 2508.03680, section 3.3). */
  | 'calls'
  /** The rollouts, so that one with many calls does not move the baseline; a rollout's value is the mean credit of its calls. */
  | 'rollouts';

/** What a group of one gets, which has nothing to be compared with: 0, or (verl) its credit, as if the mean were 0 and the deviation 1. */
export type GroupOfOne = 'zero' | 'credit';

/**
 * What advantages are divided by: the deviation of the group (n − 1), of the group as a population (n), of the whole batch (n − 1; TRL's
 * `scale_rewards="batch"`), or nothing.
 */
export type Scale = 'group' | 'population' | 'batch' | 'none';

export interface GroupOptions {
  readonly unit: GroupUnit;
  readonly scale: Scale;
  /** Added to the deviation. */
  readonly epsilon: number;
  readonly groupOfOne: GroupOfOne;
}

/**
 * Â_i = (r_i − mean(r)) / (std(r) + ε), with r the credits of the call's group (DeepSeekMath, arXiv 2402.03300, section 4.1.2); with scale
 * `none` Dr. GRPO's (arXiv 2503.20783, section 3.1). A group whose credits are all equal gets 0, exactly.
 */
export function groupAdvantages(calls: readonly CreditedCall[], options: GroupOptions): Float64Array {
  const values = [...groupBy(calls, (call) => call.taskId)].map(([taskId, members]) => ({ taskId, values: groupValues(members, options.unit) }));
  const ofBatch = options.scale === 'batch' ? deviation(values.flatMap((group) => group.values)) : undefined;
  const groups = new Map(values.map((group) => [group.taskId, statistics(group.values, options)]));
  return Float64Array.from(calls, ({ taskId, credit }) => {
    const group = groups.get(taskId);
    if (group === undefined || group.deviation === 0) return 0;
    const centred = credit - group.mean;
    return options.scale === 'none' ? centred : centred / ((ofBatch ?? group.deviation) + options.epsilon);
  });
}

function groupValues(calls: readonly CreditedCall[], unit: GroupUnit): number[] {
  return unit === 'calls' ? calls.map((call) => call.credit) : [...rolloutCredits(calls).values()];
}

/** The mean credit of each rollout's calls. */
export function rolloutCredits(calls: readonly CreditedCall[]): Map<string, number> {
  return new Map([...groupBy(calls, (call) => call.rolloutId)].map(([rolloutId, own]) => [rolloutId, mean(own.map((call) => call.credit))]));
}

function statistics(values: readonly number[], { groupOfOne, scale }: GroupOptions): { mean: number; deviation: number } {
  if (values.length === 1 && groupOfOne === 'credit') return { mean: 0, deviation: 1 };
  return { mean: mean(values), deviation: deviation(values, scale === 'population' ? 0 : 1) };
}
