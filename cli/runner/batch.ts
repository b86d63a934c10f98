/** Many rollouts: each task `group` times, at most `parallel` at once. */
import type { RolloutMode } from '../client/admin.ts';
import type { Task } from '../tasks.ts';
import { forEachParallel } from './pool.ts';
import { type RolloutParts, type RolloutResult, runRollout } from './rollout.ts';

export interface Batch {
  readonly tasks: readonly Task[];
  readonly mode: RolloutMode;
  /** Rollouts of each task. */
  readonly group: number;
  readonly parallel: number;
}

export interface BatchSummary {
  readonly rollouts: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly timedOut: number;
  /** Rollouts without a reward: they could not be judged. */
  readonly unjudged: number;
  /** Over the rollouts that have a reward; NaN when none has. */
  readonly meanReward: number;
  /** The share of all rollouts with a reward of at least 1. */
  readonly successRate: number;
  readonly firstProblem: RolloutResult | null;
}

/** The first error (the server is gone, Ctrl-C, the command cannot be started) ends the running agents and is thrown. */
export async function runBatch(parts: RolloutParts, batch: Batch, signal: AbortSignal, onResult: (result: RolloutResult, done: number, total: number) => void): Promise<RolloutResult[]> {
  const jobs = batch.tasks.flatMap((task) => Array.from({ length: batch.group }, () => task));
  const failure = new AbortController();
  const stop = AbortSignal.any([signal, failure.signal]);
  const results: RolloutResult[] = [];
  await forEachParallel(jobs, batch.parallel, async (task) => {
    try {
      const result = await runRollout(parts, task, batch.mode, stop);
      results.push(result);
      onResult(result, results.length, jobs.length);
    } catch (error) {
      failure.abort(); // no need to let the other agents run to their end
      throw error;
    }
  });
  return results;
}

export function summarize(results: readonly RolloutResult[]): BatchSummary {
  const rewards = results.flatMap((result) => (result.reward === null ? [] : [result.reward.value]));
  const count = (state: RolloutResult['state']) => results.filter((result) => result.state === state).length;
  return {
    rollouts: results.length,
    succeeded: count('succeeded'),
    failed: count('failed'),
    timedOut: count('timed_out'),
    unjudged: results.length - rewards.length,
    meanReward: rewards.reduce((sum, value) => sum + value, 0) / rewards.length,
    successRate: rewards.filter((value) => value >= 1).length / results.length,
    firstProblem: results.find((result) => result.problem !== null) ?? null,
  };
}
