/** Training rounds: requested by the proxy or the CLI, claimed and moved on by the trainer. */
import { and, asc, desc, eq, gt, lt, sql } from './drizzle.ts';
import { StoreError } from './errors.ts';
import type { Database } from './open.ts';
import { defaultPageSize, type Page, type PageOptions, toPage } from './page.ts';
import { insertCandidate, promote, type NewPolicy, type Policy } from './policies.ts';
import { insertRoundSteps, type PlannedStep } from './round-steps.ts';
import { rounds, roundSteps, type RoundEnvironment } from './schema.ts';
import { requireTransition, roundTransitions, type RoundState } from './transitions.ts';

export type Round = typeof rounds.$inferSelect;
export type RoundProgress = NonNullable<Round['progress']>;

export interface RoundRequest {
  /** Overrides of the trainer's configuration. */
  readonly config?: unknown;
  /** Make its policy current as soon as it is published; default true. */
  readonly promote?: boolean;
  readonly seed?: number | null;
  readonly at?: number;
}

export function requestRound(db: Database, request: RoundRequest = {}): Round {
  return db.write(() => db.orm.insert(rounds).values({
    config: request.config ?? null, promote: request.promote ?? true, seed: request.seed ?? null, requestedAt: request.at ?? Date.now(),
  }).returning().get());
}

/** Takes the oldest requested round, or nothing. Two trainers never get the same one. */
export function claimRound(db: Database, at: number = Date.now()): Round | undefined {
  const oldest = db.orm.select({ id: rounds.id }).from(rounds).where(eq(rounds.state, 'requested')).orderBy(asc(rounds.id)).limit(1);
  return db.write(() => db.orm.update(rounds).set({ state: 'running', startedAt: at })
    .where(and(eq(rounds.id, sql`(${oldest})`), eq(rounds.state, 'requested'))).returning().get());
}

export interface RoundSetup {
  /** The whole effective configuration. */
  readonly config: unknown;
  readonly seed: number;
  readonly baseVersion: number;
  readonly rewardsThrough: number;
  readonly environment: RoundEnvironment;
}

/** All that decides a round's bytes, in one transaction, before anything is computed: then it can be run again. */
export function recordRoundPlan(db: Database, id: number, setup: RoundSetup, steps: readonly PlannedStep[]): Round {
  return db.write(() => {
    insertRoundSteps(db, id, steps);
    return update(db, id, setup);
  });
}

export function setRoundProgress(db: Database, id: number, progress: RoundProgress): void {
  db.write(() => { update(db, id, { progress }); });
}

export interface RoundEnd {
  readonly state: Exclude<RoundState, 'requested' | 'running'>;
  readonly metrics?: Record<string, number>;
  readonly resultVersion?: number;
  /** One sentence, for `failed` and `rejected`. */
  readonly error?: string;
  readonly at?: number;
}

/** @throws StoreError `unknown_round`, `illegal_transition`. */
export function finishRound(db: Database, id: number, end: RoundEnd): Round {
  return db.write(() => {
    const round = requireRound(db, id);
    requireTransition(roundTransitions, `Round ${id}`, round.state, end.state);
    const { at, ...columns } = end;
    return update(db, id, { ...columns, progress: null, endedAt: at ?? Date.now() });
  });
}

/** The trainer ends while its round runs: the round waits for the next trainer. */
export function putRoundBack(db: Database, id: number): void {
  db.write(() => {
    requireTransition(roundTransitions, `Round ${id}`, requireRound(db, id).state, 'requested');
    update(db, id, { state: 'requested', progress: null });
  });
}

/**
 * A trainer that died left its round `running`. At trainer start such a round waits again, as it was planned; one that has already cost `limit` trainers fails.
 * Returns the ids of those that wait again.
 */
export function recoverRunningRounds(db: Database, limit: number, at: number = Date.now()): number[] {
  return db.write(() => {
    const interrupted = db.orm.update(rounds).set({ state: 'requested', progress: null, interruptions: sql`${rounds.interruptions} + 1` }).where(eq(rounds.state, 'running')).returning().all();
    const [hopeless, waiting] = [interrupted.filter((round) => round.interruptions >= limit), interrupted.filter((round) => round.interruptions < limit)];
    for (const { id, interruptions } of hopeless) finishRound(db, id, { state: 'failed', error: `The trainer died ${interruptions} times while this round ran (out of memory?); look at the system's log before you request it again.`, at });
    return waiting.map(({ id }) => id);
  });
}

export interface Publication {
  readonly roundId: number;
  readonly policy: Omit<NewPolicy, 'roundId' | 'at'>;
  readonly metrics: Record<string, number>;
  /** Make it current at once. */
  readonly promote: boolean;
  readonly at?: number;
}

/** The new version, its promotion where asked for, and the round's end, in one transaction. @throws StoreError as its parts do. */
export function publishRound(db: Database, publication: Publication): { policy: Policy; round: Round } {
  const { roundId, metrics, at = Date.now() } = publication;
  return db.write(() => {
    const policy = insertCandidate(db, { ...publication.policy, roundId, at });
    if (publication.promote) promote(db, { version: policy.version, reason: 'round', at });
    const state = publication.promote ? 'promoted' : 'published';
    const round = finishRound(db, roundId, { state, metrics, resultVersion: policy.version, at });
    return { policy: publication.promote ? { ...policy, state: 'promoted' } : policy, round };
  });
}

export function findRound(db: Database, id: number): Round | undefined {
  return db.orm.select().from(rounds).where(eq(rounds.id, id)).get();
}

export interface RoundDetail extends Round {
  readonly usedSteps: number;
  /** How many steps were left out, by reason. */
  readonly leftOut: Readonly<Record<string, number>>;
}

export function getRound(db: Database, id: number): RoundDetail | undefined {
  const round = findRound(db, id);
  if (round === undefined) return undefined;
  const counts = db.orm.select({ reason: roundSteps.leftOutReason, count: sql<number>`count(*)` }).from(roundSteps)
    .where(eq(roundSteps.roundId, id)).groupBy(roundSteps.leftOutReason).all();
  return {
    ...round,
    usedSteps: counts.find((row) => row.reason === null)?.count ?? 0,
    leftOut: Object.fromEntries(counts.flatMap((row) => (row.reason === null ? [] : [[row.reason, row.count]]))),
  };
}

/** Newest first unless asked otherwise; the cursor is a round's id. */
export function listRounds(db: Database, options: PageOptions & { state?: RoundState | undefined } = {}): Page<Round> {
  const { limit = defaultPageSize, after, order = 'newest' } = options;
  const newest = order === 'newest';
  const start = after === undefined ? undefined : (newest ? lt : gt)(rounds.id, Number(after));
  const rows = db.orm.select().from(rounds).where(and(start, options.state && eq(rounds.state, options.state)))
    .orderBy((newest ? desc : asc)(rounds.id)).limit(limit + 1).all();
  return toPage(rows, limit, (row) => row.id);
}

/** @throws StoreError `unknown_round`. */
export function requireRound(db: Database, id: number): Round {
  const round = findRound(db, id);
  if (round === undefined) throw new StoreError('unknown_round', `There is no round ${id}.`);
  return round;
}

function update(db: Database, id: number, columns: Partial<Round>): Round {
  const round = db.orm.update(rounds).set(columns).where(eq(rounds.id, id)).returning().get();
  if (round === undefined) throw new StoreError('unknown_round', `There is no round ${id}.`);
  return round;
}
