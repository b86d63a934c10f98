/** Where a round is: written into its row for whoever watches, timed by phase, and the place where a stop is noticed. */
import { TrainerError } from './error.ts';

export type Phase = 'select' | 'recompute' | 'reference' | 'self-test' | 'train' | 'measure' | 'publish';

export interface RoundProgress {
  /** Begins a phase of `total` units (micro-batches). @throws TrainerError `stopped` */
  phase(phase: Phase, total?: number): void;
  /** One unit is done. @throws TrainerError `stopped` */
  advance(): void;
  /** @throws TrainerError `stopped` once the trainer is to stop */
  check(): void;
  /** `secondsSelect`, …, `secondsTotal`, until now. */
  seconds(): Record<string, number>;
}

/** Rows are written this often at most: each is a commit that other writers wait for. */
const writeEveryMs = 250;

/** @param write puts `{phase, done, total}` into the round's row */
export function trackProgress(write: (progress: { phase: string; done: number; total: number }) => void, signal: AbortSignal, now: () => number = performance.now.bind(performance)): RoundProgress {
  const started = now();
  const spent = new Map<Phase, number>();
  let current: { phase: Phase; since: number; done: number; total: number } | undefined;
  let written = -Infinity;
  const check = (): void => {
    if (signal.aborted) throw new TrainerError('stopped', 'The trainer was stopped while this round ran.');
  };
  const report = (): void => {
    if (!current || now() - written < writeEveryMs) return;
    written = now();
    write({ phase: current.phase, done: current.done, total: current.total });
  };
  const close = (): void => {
    if (current) spent.set(current.phase, (spent.get(current.phase) ?? 0) + (now() - current.since) / 1000);
  };
  return {
    phase(phase, total = 1) {
      check();
      close();
      current = { phase, since: now(), done: 0, total };
      report();
    },
    advance() {
      check();
      if (current) current.done++;
      report();
    },
    check,
    seconds() {
      close();
      if (current) current.since = now();
      const byPhase = [...spent].map(([phase, seconds]) => [`seconds${phase.split('-').map((word) => word[0]?.toUpperCase() + word.slice(1)).join('')}`, seconds]);
      return { ...Object.fromEntries(byPhase) as Record<string, number>, secondsTotal: (now() - started) / 1000 };
    },
  };
}
