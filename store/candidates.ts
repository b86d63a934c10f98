/** What a training round chooses from: ended calls with the facts of their rollouts. The choosing is the trainer's. */
import { and, desc, eq, exists, inArray, isNull, ne, or, sql } from './drizzle.ts';
import { decodeIds, decodeLogprobs } from './codec.ts';
import type { Database } from './open.ts';
import { rollouts, rounds, roundSteps, steps, type SamplingParams, type VersionSpan } from './schema.ts';
import type { RolloutMode } from './rollouts.ts';
import { SharedContent, type StoredPrompt } from './shared-content.ts';
import type { RolloutState, StepState } from './transitions.ts';

export interface CandidateStep {
  readonly id: string;
  readonly callId: string;
  readonly choice: number;
  readonly rolloutId: string;
  readonly attemptId: string;
  readonly taskId: string | null;
  readonly mode: RolloutMode;
  readonly rolloutState: RolloutState;
  readonly agent: string;
  readonly sequence: number;
  readonly parentStepId: string | null;
  readonly state: StepState;
  readonly quarantineReason: string | null;
  readonly sampling: SamplingParams | null;
  readonly versionSpans: VersionSpan[] | null;
  readonly promptIds: Int32Array | null;
  readonly completionIds: Int32Array | null;
  readonly logprobs: Float32Array | null;
  readonly finishReason: string | null;
  readonly createdAt: number;
}

export interface CandidateFilter {
  readonly modes: readonly RolloutMode[];
  /** At most so many, newest first. */
  readonly limit: number;
  /** Steps that an earlier round left out for one of these reasons are not looked at again. */
  readonly finalReasons?: readonly string[];
}

/**
 * Steps that are not open, newest first, without those that an earlier published or promoted round used. Their live rewards
 * come from `liveRewards`.
 */
export function listCandidateSteps(db: Database, filter: CandidateFilter): CandidateStep[] {
  const settled = or(
    and(isNull(roundSteps.leftOutReason), inArray(rounds.state, ['published', 'promoted'])),
    inArray(roundSteps.leftOutReason, filter.finalReasons ?? []),
  );
  const earlier = db.orm.select({ one: sql`1` }).from(roundSteps).innerJoin(rounds, eq(rounds.id, roundSteps.roundId))
    .where(and(eq(roundSteps.stepId, steps.id), settled));
  return db.orm.select(candidate).from(steps).innerJoin(rollouts, eq(rollouts.id, steps.rolloutId))
    .where(and(ne(steps.state, 'open'), inArray(rollouts.mode, [...filter.modes]), sql`not ${exists(earlier)}`))
    .orderBy(desc(sql`${steps}.rowid`)).limit(filter.limit).all().map(decoder(db));
}

/** The steps that a round used, as they are now. One that is gone is not among them. */
export function listStepsOfRound(db: Database, roundId: number): CandidateStep[] {
  return db.orm.select(candidate).from(roundSteps).innerJoin(steps, eq(steps.id, roundSteps.stepId)).innerJoin(rollouts, eq(rollouts.id, steps.rolloutId))
    .where(and(eq(roundSteps.roundId, roundId), isNull(roundSteps.leftOutReason))).all().map(decoder(db));
}

const candidate = {
  id: steps.id, callId: steps.callId, choice: steps.choice, rolloutId: steps.rolloutId, attemptId: steps.attemptId,
  taskId: rollouts.taskId, mode: rollouts.mode, rolloutState: rollouts.state, agent: steps.agent, sequence: steps.sequence,
  parentStepId: steps.parentStepId, state: steps.state, quarantineReason: steps.quarantineReason, sampling: steps.sampling,
  versionSpans: steps.versionSpans, promptIds: steps.promptIds, promptBase: steps.promptBase, sharedTokens: steps.sharedTokens, completionIds: steps.completionIds, logprobs: steps.logprobs,
  finishReason: steps.finishReason, createdAt: steps.createdAt,
};

type StoredStep = Omit<CandidateStep, 'promptIds' | 'completionIds' | 'logprobs'> & StoredPrompt & Readonly<Record<'completionIds' | 'logprobs', Buffer | null>>;

/** For the rows of one query. */
function decoder(db: Database): (row: StoredStep) => CandidateStep {
  const shared = new SharedContent(db);
  return ({ promptBase, sharedTokens, ...row }) => ({
    ...row, promptIds: shared.prompt({ ...row, promptBase, sharedTokens }), completionIds: row.completionIds && decodeIds(row.completionIds), logprobs: row.logprobs && decodeLogprobs(row.logprobs),
  });
}
