/** Things that happened, for people and rules: `kind` is a dotted name (`attempt.timed_out`), `data` is JSON. */
import { and, asc, eq, gt } from './drizzle.ts';
import type { Database } from './open.ts';
import { defaultPageSize, toPage, type Page } from './page.ts';
import { events } from './schema.ts';

export type StoredEvent = typeof events.$inferSelect;

export interface NewEvent {
  readonly kind: string;
  readonly rolloutId?: string | null;
  readonly attemptId?: string | null;
  readonly data?: unknown;
  readonly at?: number;
}

export function addEvent(db: Database, given: NewEvent): StoredEvent {
  return db.write(() => db.orm.insert(events).values({
    kind: given.kind, rolloutId: given.rolloutId ?? null, attemptId: given.attemptId ?? null, data: given.data ?? null, createdAt: given.at ?? Date.now(),
  }).returning().get());
}

export interface EventFilter {
  readonly rolloutId?: string | undefined;
  readonly kind?: string | undefined;
  readonly limit?: number;
  /** An event's id. */
  readonly after?: string | undefined;
}

/** Oldest first. */
export function listEvents(db: Database, filter: EventFilter = {}): Page<StoredEvent> {
  const { limit = defaultPageSize } = filter;
  const rows = db.orm.select().from(events).where(and(
    filter.rolloutId === undefined ? undefined : eq(events.rolloutId, filter.rolloutId),
    filter.kind === undefined ? undefined : eq(events.kind, filter.kind),
    filter.after === undefined ? undefined : gt(events.id, Number(filter.after)),
  )).orderBy(asc(events.id)).limit(limit + 1).all();
  return toPage(rows, limit, (row) => row.id);
}
