/** Two curves as pictures, and the numbers that say which is better. */
import { plot } from 'asciichart';
import type { Curve, RoundResult, TaskResult } from './plan.ts';

export interface Standing {
  /** Mean reward of each round, over the seeds. */
  readonly curve: readonly number[];
  readonly first: number;
  /** Mean reward over the last third of the rounds, over the seeds; and for each kind of task. */
  readonly final: number;
  readonly finalByKind: Readonly<Record<string, number>>;
  /** Over all seeds, as are the seconds. */
  readonly samples: number;
  readonly seconds: number;
  readonly startSeconds: number;
}

/** @param group samples of each task */
export function standing(curves: readonly Curve[], group: number): Standing {
  const rounds = curves[0]?.rounds ?? [];
  const curve = rounds.map((_, r) => meanReward(curves.flatMap((one) => one.rounds[r]?.tasks ?? [])));
  const final = curves.flatMap(finalTasks);
  const kinds = [...new Set(final.map(({ kind }) => kind))].sort();
  return {
    curve, first: curve[0] ?? NaN, final: meanReward(final),
    finalByKind: Object.fromEntries(kinds.map((kind) => [kind, meanReward(final.filter((task) => task.kind === kind))])),
    samples: group * sum(curves.flatMap((one) => one.rounds.map(({ tasks }) => tasks.length))),
    seconds: sum(curves.map(({ seconds }) => seconds)), startSeconds: sum(curves.map(({ startSeconds }) => startSeconds)),
  };
}

export interface Difference {
  /** Final reward of ours minus theirs, by seed: both had the same tasks. */
  readonly bySeed: readonly number[];
  readonly mean: number;
  /** Of the mean, between seeds: policies of one program differ far more from seed to seed than their rewards do from task to task. Null for one seed, which tells nothing. */
  readonly standardError: number | null;
}

export function finalDifference(ours: readonly Curve[], theirs: readonly Curve[]): Difference {
  const bySeed = ours.map((one, seed) => meanReward(finalTasks(one)) - meanReward((theirs[seed] ? finalTasks(theirs[seed]) : [])));
  const center = mean(bySeed);
  const variance = sum(bySeed.map((one) => (one - center) ** 2)) / (bySeed.length - 1);
  return { bySeed, mean: center, standardError: bySeed.length > 1 ? Math.sqrt(variance / bySeed.length) : null };
}

export function draw(name: string, { curve, first, final, finalByKind, samples, seconds, startSeconds }: Standing): string {
  const width = Math.max(1, Math.floor(64 / Math.max(1, curve.length - 1)));
  // A few columns for each round, so that short curves are readable.
  const columns = curve.flatMap((value, r) => Array.from({ length: r === curve.length - 1 ? 1 : width }, (_, step) => value + (((curve[r + 1] ?? value) - value) * step) / width));
  return [
    `${name}, mean reward by round:`,
    plot(columns, { height: 10, min: 0, max: 1, format: (value) => value.toFixed(2).padStart(6) }),
    `first round ${first.toFixed(3)}, last third ${final.toFixed(3)} (${Object.entries(finalByKind).map(([kind, value]) => `${kind} ${value.toFixed(3)}`).join(', ')}); ${samples} samples in ${seconds.toFixed(1)} s, after ${startSeconds.toFixed(1)} s to start`,
  ].join('\n');
}

export const rewardsOf = (rounds: readonly RoundResult[]): string => rounds.map(({ tasks }) => meanReward(tasks).toFixed(2)).join(' ');

const finalTasks = ({ rounds }: Curve): TaskResult[] => rounds.slice(-Math.ceil(rounds.length / 3)).flatMap(({ tasks }) => tasks);

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const mean = (values: readonly number[]): number => sum(values) / values.length;
const meanReward = (tasks: readonly TaskResult[]): number => mean(tasks.map(({ reward }) => reward));
