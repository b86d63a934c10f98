/** Rollouts and their attempts. */
import { and, desc, eq, inArray, sql } from './drizzle.ts';
import { StoreError } from './errors.ts';
import { newId } from './ids.ts';
import type { Database } from './open.ts';
import { defaultPageSize, pageOrder, pageStart, toPage, type Page, type PageOptions } from './page.ts';
import { listRewards, type Reward } from './rewards.ts';
import { attempts, rewards, rollouts, steps, type rolloutModes } from './schema.ts';
import { requireTransition, rolloutTransitions, type RolloutState } from './transitions.ts';

export type Rollout = typeof rollouts.$inferSelect;
export type Attempt = typeof attempts.$inferSelect;
export type RolloutMode = (typeof rolloutModes)[number];
export type EndedState = Exclude<RolloutState, 'running'>;

export interface NewRollout {
  /** Default: a new `ro_…`. */
  readonly id?: string;
  readonly taskId?: string | null;
  readonly mode: RolloutMode;
  /** Serve it from this policy version instead of the current one. */
  readonly pinnedVersion?: number | null;
  /** The task's input, as JSON. */
  readonly input?: unknown;
  readonly metadata?: unknown;
  /** Of its first attempt; default: a new `at_…`. */
  readonly attemptId?: string;
  /** Unix milliseconds; default now. */
  readonly at?: number;
}

export interface StartedRollout { readonly rollout: Rollout; readonly attempt: Attempt }

/** A rollout begins with its first attempt. @throws StoreError `conflict` when the id is taken. */
export function createRollout(db: Database, given: NewRollout): StartedRollout {
  const at = given.at ?? Date.now();
  const rollout: Rollout = {
    id: given.id ?? newId('ro', at),
    taskId: given.taskId ?? null,
    mode: given.mode,
    state: 'running',
    pinnedVersion: given.pinnedVersion ?? null,
    input: given.input ?? null,
    metadata: given.metadata ?? null,
    createdAt: at,
    endedAt: null,
  };
  return db.write(() => {
    db.prepared(insertRollout).run({ ...rollout, input: json(rollout.input), metadata: json(rollout.metadata) });
    return { rollout, attempt: startAttempt(db, rollout.id, 1, at, given.attemptId) };
  });
}

export interface RolloutEnd {
  readonly rolloutId: string;
  readonly state: EndedState;
  /** A sentence for people: why it ended so. */
  readonly detail?: string | null;
  readonly at?: number;
}

/**
 * Ends a rollout and its running attempt. Ending it again in the same state changes nothing.
 * @throws StoreError `unknown_rollout`, `illegal_transition`.
 */
export function endRollout(db: Database, end: RolloutEnd): Rollout {
  return db.write(() => {
    const rollout = requireRollout(db, end.rolloutId);
    if (rollout.state === end.state) return rollout;
    requireTransition(rolloutTransitions, `Rollout ${rollout.id}`, rollout.state, end.state);
    const ended = { state: end.state, endedAt: end.at ?? Date.now() };
    endRunningAttempt(db, rollout.id, { ...ended, detail: end.detail ?? null });
    db.orm.update(rollouts).set(ended).where(eq(rollouts.id, rollout.id)).run();
    return { ...rollout, ...ended };
  });
}

export interface NewAttempt {
  readonly rolloutId: string;
  /** How the attempt before ended. */
  readonly previous: EndedState;
  readonly detail?: string | null;
  readonly at?: number;
}

/** Ends the running attempt and begins the next one. @throws StoreError `unknown_rollout`, `illegal_transition` (the rollout has ended). */
export function newAttempt(db: Database, next: NewAttempt): Attempt {
  const at = next.at ?? Date.now();
  return db.write(() => {
    const rollout = requireRollout(db, next.rolloutId);
    if (rollout.state !== 'running') throw new StoreError('illegal_transition', `Rollout ${rollout.id} is ${rollout.state}; only a running one can have another attempt.`);
    const before = currentAttempt(db, rollout.id);
    endRunningAttempt(db, rollout.id, { state: next.previous, endedAt: at, detail: next.detail ?? null });
    return startAttempt(db, rollout.id, (before?.number ?? 0) + 1, at);
  });
}

export function findRollout(db: Database, id: string): Rollout | undefined {
  return db.prepared(selectRollout).get({ id });
}

/** @throws StoreError `unknown_rollout`. */
export function requireRollout(db: Database, id: string): Rollout {
  const rollout = findRollout(db, id);
  if (rollout === undefined) throw new StoreError('unknown_rollout', `There is no rollout ${id}.`);
  return rollout;
}

/** The attempt with the highest number. */
export function currentAttempt(db: Database, rolloutId: string): Attempt | undefined {
  return db.prepared(selectLastAttempt).get({ rolloutId });
}

export interface RolloutCounts {
  readonly steps: number;
  readonly open: number;
  readonly complete: number;
  readonly quarantined: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
}

export interface RolloutDetail extends Rollout {
  readonly attempts: readonly Attempt[];
  readonly counts: RolloutCounts;
  /** Live ones only. */
  readonly rewards: readonly Reward[];
}

export function getRollout(db: Database, id: string): RolloutDetail | undefined {
  const rollout = findRollout(db, id);
  if (rollout === undefined) return undefined;
  const counts = db.orm.select({
    steps: sql<number>`count(*)`,
    open: sql<number>`count(*) filter (where ${steps.state} = 'open')`,
    complete: sql<number>`count(*) filter (where ${steps.state} = 'complete')`,
    quarantined: sql<number>`count(${steps.quarantineReason})`,
    promptTokens: sql<number>`coalesce(sum(length(${steps.promptIds})) / 4, 0)`,
    completionTokens: sql<number>`coalesce(sum(length(${steps.completionIds})) / 4, 0)`,
  }).from(steps).where(eq(steps.rolloutId, id)).get();
  if (counts === undefined) throw new StoreError('corrupt', 'An aggregate returned no row.');
  return {
    ...rollout,
    attempts: db.orm.select().from(attempts).where(eq(attempts.rolloutId, id)).orderBy(attempts.number).all(),
    counts,
    rewards: listRewards(db, { rolloutId: id }),
  };
}

export interface RolloutFilter {
  readonly mode?: RolloutMode | undefined;
  readonly state?: RolloutState | undefined;
  readonly taskId?: string | undefined;
}

export interface RolloutListItem extends Rollout {
  readonly stepCount: number;
  /** Sum of the live outcome rewards, on the rollout and its steps; null when there is none. */
  readonly outcome: number | null;
}

/** Newest first unless asked otherwise. @throws StoreError `unknown_cursor`. */
export function listRollouts(db: Database, filter: RolloutFilter & PageOptions = {}): Page<RolloutListItem> {
  const { limit = defaultPageSize, order = 'newest' } = filter;
  const rows = db.orm.select().from(rollouts).where(and(
    filter.mode && eq(rollouts.mode, filter.mode),
    filter.state && eq(rollouts.state, filter.state),
    filter.taskId === undefined ? undefined : eq(rollouts.taskId, filter.taskId),
    pageStart(db, rollouts, rollouts.id, filter.after, order),
  )).orderBy(pageOrder(rollouts, order)).limit(limit + 1).all();
  const page = toPage(rows, limit, (row) => row.id);
  return { ...page, items: withSummary(db, page.items) };
}

function withSummary(db: Database, page: readonly Rollout[]): RolloutListItem[] {
  const ids = page.map((rollout) => rollout.id);
  const counts = new Map(db.orm.select({ id: steps.rolloutId, count: sql<number>`count(*)` })
    .from(steps).where(inArray(steps.rolloutId, ids)).groupBy(steps.rolloutId).all().map((row) => [row.id, row.count]));
  const outcomes = new Map(db.orm.select({ id: rewards.rolloutId, sum: sql<number>`sum(${rewards.value})` }).from(rewards)
    .where(and(inArray(rewards.rolloutId, ids), eq(rewards.kind, 'outcome'), sql`${rewards.supersededAt} is null`))
    .groupBy(rewards.rolloutId).all().map((row) => [row.id, row.sum]));
  return page.map((rollout) => ({ ...rollout, stepCount: counts.get(rollout.id) ?? 0, outcome: outcomes.get(rollout.id) ?? null }));
}

function startAttempt(db: Database, rolloutId: string, number: number, at: number, id: string = newId('at', at)): Attempt {
  const attempt: Attempt = { id, rolloutId, number, state: 'running', detail: null, createdAt: at, endedAt: null };
  db.prepared(insertAttempt).run({ ...attempt });
  return attempt;
}

function endRunningAttempt(db: Database, rolloutId: string, end: { state: EndedState; endedAt: number; detail: string | null }): void {
  db.orm.update(attempts).set(end).where(and(eq(attempts.rolloutId, rolloutId), eq(attempts.state, 'running'))).run();
}

const json = (value: unknown): string | null => (value === null ? null : JSON.stringify(value));
const p = sql.placeholder;
// Live traffic makes a rollout of almost every first call.
const insertRollout = (db: Database) => db.sqlite.prepare(`
  insert into rollouts (id, task_id, mode, state, pinned_version, input, metadata, created_at, ended_at)
  values (@id, @taskId, @mode, @state, @pinnedVersion, @input, @metadata, @createdAt, @endedAt)`);
const insertAttempt = (db: Database) => db.sqlite.prepare(`
  insert into attempts (id, rollout_id, number, state, detail, created_at, ended_at)
  values (@id, @rolloutId, @number, @state, @detail, @createdAt, @endedAt)`);
const selectRollout = (db: Database) => db.orm.select().from(rollouts).where(eq(rollouts.id, p('id'))).prepare();
const selectLastAttempt = (db: Database) =>
  db.orm.select().from(attempts).where(eq(attempts.rolloutId, p('rolloutId'))).orderBy(desc(attempts.number)).limit(1).prepare();
