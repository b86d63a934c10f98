/** Two curves in one picture, and the numbers that say which is better. */
import { plot } from 'asciichart';
import type { Curve } from './plan.ts';

export interface Standing {
  /** Mean reward of each round, over the seeds. */
  readonly curve: readonly number[];
  /** Mean reward over the last third of the rounds, over the seeds; and its standard error over the seeds. */
  readonly final: number;
  readonly finalError: number;
  /** The same for each kind of task. */
  readonly finalByKind: Readonly<Record<string, number>>;
  readonly first: number;
  readonly samples: number;
  /** Over all seeds. */
  readonly seconds: number;
  readonly startSeconds: number;
}

export function standing(curves: readonly Curve[]): Standing {
  const rounds = curves[0]?.rounds.length ?? 0;
  const curve = Array.from({ length: rounds }, (_, r) => mean(curves.map((one) => one.rounds[r]?.reward ?? NaN)));
  const tail = Math.ceil(rounds / 3);
  const finals = curves.map((one) => mean(one.rounds.slice(-tail).map(({ reward }) => reward)));
  const kinds = Object.keys(curves[0]?.rounds[0]?.byKind ?? {});
  return {
    curve, first: curve[0] ?? NaN, final: mean(finals),
    finalError: Math.sqrt(mean(finals.map((one) => (one - mean(finals)) ** 2)) / Math.max(1, finals.length - 1)),
    finalByKind: Object.fromEntries(kinds.map((kind) => [kind, mean(curves.flatMap((one) => one.rounds.slice(-tail).map(({ byKind }) => byKind[kind] ?? NaN)))])),
    samples: sum(curves.flatMap((one) => one.rounds.map(({ samples }) => samples))),
    seconds: sum(curves.map(({ seconds }) => seconds)), startSeconds: sum(curves.map(({ startSeconds }) => startSeconds)),
  };
}

export function draw(ours: Standing, trl: Standing): string {
  const width = Math.max(1, Math.floor(72 / Math.max(1, ours.curve.length - 1)));
  const chart = (name: string, { curve }: Standing): string => `${name}: mean reward by round\n${plot(stretch(curve, width), { height: 10, min: 0, max: Math.max(...ours.curve, ...trl.curve), format: (value) => value.toFixed(2).padStart(6) })}`;
  const row = (name: string, s: Standing): string => `${name.padEnd(10)} first ${s.first.toFixed(3)}  last third ${s.final.toFixed(3)} ± ${s.finalError.toFixed(3)}  ${Object.entries(s.finalByKind).map(([kind, value]) => `${kind} ${value.toFixed(3)}`).join('  ')}  ${s.samples} samples  ${s.seconds.toFixed(1)} s (+ ${s.startSeconds.toFixed(1)} s to start)`;
  return [chart('ours', ours), '', chart('TRL', trl), '', row('ours', ours), row('TRL', trl)].join('\n');
}

/** A few columns for each round, so that short curves are readable. */
function stretch(values: readonly number[], width: number): number[] {
  return values.flatMap((value, r) => Array.from({ length: r === values.length - 1 ? 1 : width }, (_, step) => value + (((values[r + 1] ?? value) - value) * step) / width));
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const mean = (values: readonly number[]): number => sum(values) / values.length;
