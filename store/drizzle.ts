/**
 * drizzle-orm, loaded as CommonJS: its several hundred ES modules take three times the memory and the start-up time of the same code
 * required, in every process and thread that opens the store. The types are the package's own.
 */
import { createRequire } from 'node:module';
import type * as Core from 'drizzle-orm';
import type * as Driver from 'drizzle-orm/better-sqlite3';
import type * as Columns from 'drizzle-orm/sqlite-core';

const load = createRequire(import.meta.url);
const core = load('drizzle-orm') as typeof Core;
const driver = load('drizzle-orm/better-sqlite3') as typeof Driver;
const columns = load('drizzle-orm/sqlite-core') as typeof Columns;

export const { and, asc, count, desc, eq, exists, getTableColumns, gt, gte, inArray, isNotNull, isNull, lt, lte, ne, or, sql } = core;
export const { drizzle } = driver;
export const { blob, index, integer, primaryKey, real, sqliteTable, text, uniqueIndex } = columns;

export type { SQL } from 'drizzle-orm';
export type { BetterSQLite3Database } from 'drizzle-orm/better-sqlite3';
export type { AnySQLiteColumn, SQLiteColumn, SQLiteTable } from 'drizzle-orm/sqlite-core';
