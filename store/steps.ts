/** Steps as they are read: one policy call's choice, decoded. Writing them is `step-writes.ts`. */
import { and, asc, eq, getTableColumns, inArray, isNotNull, isNull, sql } from './drizzle.ts';
import { decodeIds, decodeLogprobs, decompressBody } from './codec.ts';
import type { Database } from './open.ts';
import { defaultPageSize, pageOrder, pageStart, toPage, type Page, type PageOptions } from './page.ts';
import { steps } from './schema.ts';
import { SharedContent } from './shared-content.ts';
import type { StepState } from './transitions.ts';

export type StepRow = typeof steps.$inferSelect;
/** What is read decoded, and how it is stored. */
type LargeColumn = 'request' | 'response' | 'promptIds' | 'completionIds' | 'logprobs' | 'requestBase' | 'promptBase' | 'sharedTokens';

/** A step with its ids, log-probs and bodies as they were given. */
export interface Step extends Omit<StepRow, LargeColumn> {
  /** The client's request body; of the call, so the same for all its choices. */
  readonly request: string | null;
  readonly response: string | null;
  readonly promptIds: Int32Array | null;
  readonly completionIds: Int32Array | null;
  /** Behaviour log-probs, natural, one for each completion id. */
  readonly logprobs: Float32Array | null;
}

/** Everything of a step but its blobs. */
export interface StepSummary extends Omit<StepRow, LargeColumn> {
  readonly promptTokens: number | null;
  readonly completionTokens: number | null;
}

export function getStep(db: Database, id: string): Step | undefined {
  const row = db.orm.select().from(steps).where(eq(steps.id, id)).get();
  return row === undefined ? undefined : decodeStep(db, row, new SharedContent(db));
}

/** The steps of one call by the response id that the client was given, in order of choice; empty when there is none. */
export function findStepsByResponse(db: Database, responseId: string): StepSummary[] {
  return db.orm.select(summaryColumns).from(steps).where(eq(steps.responseId, responseId)).orderBy(asc(steps.choice)).all();
}

export interface StepFilter {
  readonly rolloutId?: string | undefined;
  readonly attemptId?: string | undefined;
  readonly callId?: string | undefined;
  readonly agent?: string | undefined;
  readonly state?: StepState | undefined;
  readonly quarantined?: boolean | undefined;
}

/** Newest first unless asked otherwise. @throws StoreError `unknown_cursor`. */
export function listSteps(db: Database, filter: StepFilter & PageOptions = {}): Page<StepSummary> {
  const { limit = defaultPageSize, order = 'newest' } = filter;
  const rows = db.orm.select(summaryColumns).from(steps).where(and(
    filter.rolloutId === undefined ? undefined : eq(steps.rolloutId, filter.rolloutId),
    filter.attemptId === undefined ? undefined : eq(steps.attemptId, filter.attemptId),
    filter.callId === undefined ? undefined : eq(steps.callId, filter.callId),
    filter.agent === undefined ? undefined : eq(steps.agent, filter.agent),
    filter.state && eq(steps.state, filter.state),
    filter.quarantined === undefined ? undefined : filter.quarantined ? isNotNull(steps.quarantineReason) : isNull(steps.quarantineReason),
    pageStart(db, steps, steps.id, filter.after, order),
  )).orderBy(pageOrder(steps, order)).limit(limit + 1).all();
  return toPage(rows, limit, (row) => row.id);
}

/** What is still `open` when the proxy starts was cut off by its end: `crashed`. Returns how many. */
export function markCrashed(db: Database, at: number = Date.now()): number {
  return db.write(() => db.orm.update(steps).set({ state: 'crashed', endedAt: at }).where(eq(steps.state, 'open')).run().changes);
}

export interface AbandonedSteps {
  readonly ids: readonly string[];
  /** Why what they did could not be written when they ended. */
  readonly error: string;
  readonly at: number;
}

/** Steps that ended while nothing could be written. Those that were never opened are not there, and stay so. */
export function abandonSteps(db: Database, { ids, error, at }: AbandonedSteps): void {
  db.write(() => db.orm.update(steps).set({ state: 'crashed', error, endedAt: at }).where(and(inArray(steps.id, [...ids]), eq(steps.state, 'open'))).run());
}

/** A client that tries a call again has not seen the first one's answer, whole or not: it is kept, and not trained on. */
export function supersedeCall(db: Database, callId: string): void {
  db.write(() => db.orm.update(steps).set({ quarantineReason: 'retried' }).where(and(eq(steps.callId, callId), isNull(steps.quarantineReason))).run());
}

/** @param shared for this step and those that are read with it */
export function decodeStep(db: Database, row: StepRow, shared: SharedContent): Step {
  const { requestBase: _, promptBase: __, sharedTokens: ___, ...columns } = row;
  const bodies = row.choice === 0 ? row : db.prepared(selectBodies).get({ callId: row.callId });
  return {
    ...columns,
    request: bodies === undefined ? null : shared.request(bodies)?.toString() ?? null,
    response: bodies?.response == null ? null : decompressBody(bodies.response).toString(),
    promptIds: shared.prompt(row),
    completionIds: row.completionIds && decodeIds(row.completionIds),
    logprobs: row.logprobs && decodeLogprobs(row.logprobs),
  };
}

/** A call's bodies are kept on its choice 0. */
const selectBodies = (db: Database) => db.orm.select({ id: steps.id, request: steps.request, requestBase: steps.requestBase, response: steps.response }).from(steps)
  .where(and(eq(steps.callId, sql.placeholder('callId')), eq(steps.choice, 0))).prepare();

const {
  request: _request, response: _response, promptIds: _promptIds, completionIds: _completionIds, logprobs: _logprobs, requestBase: _requestBase, promptBase: _promptBase,
  sharedTokens: _sharedTokens, ...smallColumns
} = getTableColumns(steps);
const summaryColumns = {
  ...smallColumns,
  promptTokens: sql<number | null>`length(${steps.promptIds}) / 4 + coalesce(${steps.sharedTokens}, 0)`,
  completionTokens: sql<number | null>`length(${steps.completionIds}) / 4`,
};
