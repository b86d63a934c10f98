/** Steps as plain objects for JSONL, in insertion order, a page at a time. */
import { and, asc, eq, exists, gt, gte, inArray, isNull, sql } from './drizzle.ts';
import type { Database } from './open.ts';
import { liveRewards, type Reward } from './rewards.ts';
import type { RolloutMode } from './rollouts.ts';
import { attempts, policies, rollouts, roundSteps, steps } from './schema.ts';
import { SharedContent } from './shared-content.ts';
import { decodeStep, type Step } from './steps.ts';

export interface ExportFilter {
  /** Steps that went into this round. */
  readonly roundId?: number | undefined;
  /** Steps that went into the round that made this policy version. */
  readonly policyVersion?: number | undefined;
  readonly rolloutId?: string | undefined;
  readonly mode?: RolloutMode | undefined;
  /** Steps created at or after this time, unix milliseconds. */
  readonly since?: number | undefined;
}

/** A step with ids and log-probs as arrays of numbers, its rollout's facts, and the live rewards of the step and its rollout. */
export interface ExportedStep extends Omit<Step, 'promptIds' | 'completionIds' | 'logprobs'> {
  readonly promptIds: readonly number[] | null;
  readonly completionIds: readonly number[] | null;
  readonly logprobs: readonly number[] | null;
  readonly attempt: number;
  readonly taskId: string | null;
  readonly mode: RolloutMode;
  readonly rolloutState: string;
  readonly rewards: readonly ExportedReward[];
}

export type ExportedReward = Pick<Reward, 'name' | 'kind' | 'value' | 'source' | 'createdAt'> & { readonly target: 'rollout' | 'step' };

/** Small enough that one page takes a few milliseconds of the thread that reads it. */
const stepsPerPage = 100;

/** Holds one page in memory; between pages nothing is locked, and steps that are added meanwhile come at the end. */
export function* exportSteps(db: Database, filter: ExportFilter = {}): Generator<ExportedStep, void, void> {
  let lastRow = 0;
  for (;;) {
    const page = readPage(db, filter, lastRow);
    const rewards = liveRewards(db, [...new Set(page.map((row) => row.step.rolloutId))]);
    const shared = new SharedContent(db);
    for (const row of page) yield toExported(row, decodeStep(db, row.step, shared), rewards.get(row.step.rolloutId) ?? []);
    lastRow = page.at(-1)?.row ?? lastRow;
    if (page.length < stepsPerPage) return;
  }
}

type ExportRow = ReturnType<typeof readPage>[number];

function readPage(db: Database, filter: ExportFilter, afterRow: number) {
  const rowid = sql<number>`${steps}.rowid`;
  const inRound = db.orm.select({ one: sql`1` }).from(roundSteps).where(and(
    eq(roundSteps.stepId, steps.id),
    isNull(roundSteps.leftOutReason),
    filter.roundId === undefined ? undefined : eq(roundSteps.roundId, filter.roundId),
    filter.policyVersion === undefined ? undefined : inArray(roundSteps.roundId,
      db.orm.select({ id: sql`${policies.roundId}` }).from(policies).where(eq(policies.version, filter.policyVersion))),
  ));
  return db.orm.select({
    row: rowid, step: steps, attempt: attempts.number, taskId: rollouts.taskId, mode: rollouts.mode, rolloutState: rollouts.state,
  }).from(steps)
    .innerJoin(rollouts, eq(rollouts.id, steps.rolloutId))
    .innerJoin(attempts, eq(attempts.id, steps.attemptId))
    .where(and(
      gt(rowid, afterRow),
      filter.roundId === undefined && filter.policyVersion === undefined ? undefined : exists(inRound),
      filter.rolloutId === undefined ? undefined : eq(steps.rolloutId, filter.rolloutId),
      filter.mode === undefined ? undefined : eq(rollouts.mode, filter.mode),
      filter.since === undefined ? undefined : gte(steps.createdAt, filter.since),
    )).orderBy(asc(rowid)).limit(stepsPerPage).all();
}

function toExported({ step: _step, row: _row, ...rollout }: ExportRow, step: Step, rewards: readonly Reward[]): ExportedStep {
  return {
    ...step,
    ...rollout,
    promptIds: step.promptIds && [...step.promptIds],
    completionIds: step.completionIds && [...step.completionIds],
    logprobs: step.logprobs && [...step.logprobs],
    rewards: rewards.filter((reward) => reward.stepId === null || reward.stepId === step.id).map((reward) => ({
      target: reward.stepId === null ? 'rollout' : 'step',
      name: reward.name, kind: reward.kind, value: reward.value, source: reward.source, createdAt: reward.createdAt,
    })),
  };
}
