/** Cursor pages. Lists are in insertion order (rowid), so a cursor stays valid and nothing repeats while rows are added. */
import { sql, type SQL } from './drizzle.ts';
import type { SQLiteColumn, SQLiteTable } from './drizzle.ts';
import { StoreError } from './errors.ts';
import type { Database } from './open.ts';

export interface PageOptions {
  /** Rows at most; default 50. */
  readonly limit?: number;
  /** `nextCursor` of the page before: the id of its last row. */
  readonly after?: string | undefined;
  /** By insertion. */
  readonly order?: 'newest' | 'oldest';
}

export interface Page<T> {
  readonly items: readonly T[];
  /** Null on the last page. */
  readonly nextCursor: string | null;
}

export const defaultPageSize = 50;

const rowidOf = (table: SQLiteTable): SQL => sql`${table}.rowid`;

export function pageOrder(table: SQLiteTable, order: 'newest' | 'oldest'): SQL {
  return order === 'newest' ? sql`${rowidOf(table)} desc` : sql`${rowidOf(table)} asc`;
}

/** The condition "after the cursor's row", or undefined for the first page. @throws StoreError `unknown_cursor`. */
export function pageStart(db: Database, table: SQLiteTable, id: SQLiteColumn, after: string | undefined, order: 'newest' | 'oldest'): SQL | undefined {
  if (after === undefined) return undefined;
  const row = db.orm.select({ rowid: sql<number>`${rowidOf(table)}` }).from(table).where(sql`${id} = ${after}`).get();
  if (row === undefined) throw new StoreError('unknown_cursor', `There is no row ${after} to go on after.`);
  return order === 'newest' ? sql`${rowidOf(table)} < ${row.rowid}` : sql`${rowidOf(table)} > ${row.rowid}`;
}

/** `rows` holds one row more than `limit` when there is another page. */
export function toPage<T>(rows: readonly T[], limit: number, idOf: (row: T) => string | number): Page<T> {
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  return { items, nextCursor: rows.length > limit && last !== undefined ? String(idOf(last)) : null };
}
