/** REINFORCE leave-one-out: the baseline of a rollout is what the others of its group got (Kool et al. 2019; RLOO, arXiv 2402.14740, equation 7). */
import { type CreditedCall, type GroupOfOne, rolloutCredits } from './group.ts';
import { deviation, groupBy, mean } from './statistics.ts';

export interface LeaveOneOutOptions {
  readonly groupOfOne: GroupOfOne;
  /** Then (a − mean) / (std + 1e-4) over all calls (TRL's `normalize_advantages`). */
  readonly normalize: boolean;
}

/** Â_i = r_i − mean of the other rollouts of the task, a rollout's value being the mean credit of its calls. One number a call. */
export function leaveOneOutAdvantages(calls: readonly CreditedCall[], options: LeaveOneOutOptions): Float64Array {
  const groups = new Map([...groupBy(calls, (call) => call.taskId)].map(([taskId, members]) => [taskId, rolloutCredits(members)]));
  const advantages = Float64Array.from(calls, ({ taskId, rolloutId, credit }) => {
    const others = [...groups.get(taskId) ?? []].filter(([other]) => other !== rolloutId).map(([, value]) => value);
    if (others.length === 0) return options.groupOfOne === 'credit' ? credit : 0;
    // Equal credits must give 0 exactly; the computed mean of equal numbers may be off by one rounding.
    return others.every((value) => value === credit) ? 0 : credit - mean(others);
  });
  if (!options.normalize) return advantages;
  const [centre, scale] = [mean(advantages), deviation(advantages) + 1e-4];
  return advantages.map((advantage) => (advantage - centre) / scale);
}
