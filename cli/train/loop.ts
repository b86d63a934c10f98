/** The loop: validate, then rounds of run → train → swap, validating again in between. */
import type { AdminClient, RoundRow } from '../client/admin.ts';
import { runBatch, summarize, type BatchSummary } from '../runner/batch.ts';
import type { AgentCommand, RolloutParts, RolloutResult } from '../runner/rollout.ts';
import type { ProcessGroups } from '../runner/process.ts';
import type { Task } from '../tasks.ts';
import { trainRound } from './round.ts';
import { takeDistinct, taskOrder } from './sample.ts';

export interface TrainPlan {
  readonly agent: AgentCommand;
  readonly model: string;
  readonly trainTasks: readonly Task[];
  /** Empty: nothing is validated. */
  readonly valTasks: readonly Task[];
  readonly rounds: number;
  /** Rollouts of each task in a round. */
  readonly group: number;
  readonly parallel: number;
  /** Tasks in a round, taken from a seeded shuffle; null takes all. */
  readonly tasksPerRound: number | null;
  readonly seed: number;
  /** Validate after every so many rounds; always after the last. */
  readonly valEvery: number;
  /** Rollouts of each validation task. */
  readonly valSamples: number;
  /** Stop as soon as a validation's mean reward reaches this. */
  readonly untilVal: number | null;
}

export interface Validation {
  readonly version: number;
  readonly meanReward: number;
  /** The share of rollouts with a reward of at least 1. */
  readonly successRate: number;
  readonly results: readonly RolloutResult[];
  readonly seconds: number;
}

export interface RoundReport {
  /** From 1. */
  readonly round: number;
  /** The server's id of the training round. */
  readonly roundId: number;
  readonly state: RoundRow['state'];
  /** Why a round was empty or rejected. */
  readonly reason: string | null;
  /** The version that is served after the round. */
  readonly version: number;
  readonly batch: BatchSummary;
  /** As the trainer reports them. */
  readonly metrics: Readonly<Record<string, number>>;
  readonly validation: Validation | null;
  readonly seconds: { readonly rollouts: number; readonly training: number; readonly validation: number };
}

export interface TrainResult {
  readonly before: Validation | null;
  readonly rounds: readonly RoundReport[];
  /** The last validation. */
  readonly after: Validation | null;
}

export interface TrainObserver {
  phase(text: string, done: number, total: number): void;
  rollout(result: RolloutResult): void;
  validated(validation: Validation): void;
  round(report: RoundReport): void;
}

/** @throws RunError when a round fails or the server is gone, Interrupted on Ctrl-C. */
export async function trainLoop(client: AdminClient, groups: ProcessGroups, plan: TrainPlan, observer: TrainObserver, signal: AbortSignal): Promise<TrainResult> {
  const parts: RolloutParts = { client, groups, agent: plan.agent, model: plan.model };
  const order = taskOrder(plan.trainTasks, plan.seed);
  const perRound = Math.min(plan.tasksPerRound ?? plan.trainTasks.length, plan.trainTasks.length);
  const validates = plan.valTasks.length > 0;
  const before = validates ? await validate(parts, plan, observer, signal) : null;
  const rounds: RoundReport[] = [];
  let after = before;
  for (let round = 1; round <= plan.rounds; round++) {
    const report = await oneRound(parts, plan, round, takeDistinct(order, perRound), observer, signal);
    rounds.push(report);
    observer.round(report);
    after = report.validation ?? after;
    if (plan.untilVal !== null && report.validation && report.validation.meanReward >= plan.untilVal) break;
  }
  return { before, rounds, after };
}

async function oneRound(parts: RolloutParts, plan: TrainPlan, round: number, tasks: readonly Task[], observer: TrainObserver, signal: AbortSignal): Promise<RoundReport> {
  const clock = stopwatch();
  const batch = { tasks, mode: 'train', group: plan.group, parallel: plan.parallel } as const;
  const results = await runBatch(parts, batch, signal, (result, done, total) => {
    observer.rollout(result);
    observer.phase(`round ${round}/${plan.rounds}: rollouts`, done, total);
  });
  const rollouts = clock();
  const trained = await trainRound(parts.client, { seed: plan.seed + round }, signal, ({ progress }) => {
    if (progress) observer.phase(`round ${round}/${plan.rounds}: ${progress.phase}`, progress.done, progress.total);
  });
  const training = clock();
  const isDue = round % plan.valEvery === 0 || round === plan.rounds;
  const validation = plan.valTasks.length > 0 && isDue ? await validate(parts, plan, observer, signal) : null;
  const version = validation?.version ?? (await parts.client.policies()).current_version;
  return {
    round, roundId: trained.id, state: trained.state, reason: trained.error, version, batch: summarize(results), metrics: trained.metrics ?? {}, validation,
    seconds: { rollouts, training, validation: clock() },
  };
}

async function validate(parts: RolloutParts, plan: TrainPlan, observer: TrainObserver, signal: AbortSignal): Promise<Validation> {
  const clock = stopwatch();
  const { current_version: version } = await parts.client.policies();
  const batch = { tasks: plan.valTasks, mode: 'val', group: plan.valSamples, parallel: plan.parallel } as const;
  const results = await runBatch(parts, batch, signal, (result, done, total) => {
    observer.rollout(result);
    observer.phase(`validating version ${version}`, done, total);
  });
  const { meanReward, successRate } = summarize(results);
  const validation = { version, meanReward, successRate, results, seconds: clock() };
  observer.validated(validation);
  return validation;
}

/** Seconds since the last call. */
function stopwatch(): () => number {
  let last = performance.now();
  return () => {
    const now = performance.now();
    const seconds = (now - last) / 1000;
    last = now;
    return seconds;
  };
}
