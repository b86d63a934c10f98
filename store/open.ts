/** Opening the one database file of a data directory, and the connection that every query module takes. */
import { accessSync, constants, existsSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import Sqlite from 'better-sqlite3';
import { drizzle, type BetterSQLite3Database } from './drizzle.ts';
import { StoreError, toStoreError, type StoreErrorCode } from './errors.ts';
import { recoverJournals } from './journal/recover.ts';
import { migrate, requireCurrentSchema } from './migrate.ts';
import * as schema from './schema.ts';

export type Orm = BetterSQLite3Database<typeof schema>;

export interface OpenOptions {
  /** Only read; the file must exist and have the current schema. Default false. */
  readonly readonly?: boolean;
  /** `process`: commits survive `kill -9` (synchronous NORMAL). `power`: also a loss of power (FULL). Default `process`. */
  readonly durability?: 'process' | 'power' | undefined;
  /** How long a statement waits for another process's lock. Default 10,000. */
  readonly busyTimeoutMs?: number | undefined;
}

/** One connection. All calls are synchronous. */
export interface Database extends Disposable {
  /** Absolute path. */
  readonly dataDir: string;
  /** The database file's absolute path. */
  readonly path: string;
  readonly sqlite: Sqlite.Database;
  readonly orm: Orm;
  /** What `build` makes from this connection (a prepared statement), made once and kept for the connection's life. */
  prepared<T>(build: (db: Database) => T): T;
  /**
   * Runs `work` in a transaction that takes the write lock at once, so that it waits for other writers instead of failing
   * half-way; inside another transaction, in a savepoint. Throws `StoreError`; a throw rolls back.
   */
  write<T>(work: () => T): T;
  close(): void;
}

export const databaseFileName = 'fulgurite.db';

/** "FULG", in the file's header: tells our databases from others'. */
const applicationId = 0x46554c47;

/**
 * Opens `<dataDir>/fulgurite.db`, makes it when it is missing, brings its schema up to date, and puts into it what a killed process had in its
 * journal (read-only: where this user may write). Any number of processes may do so at once.
 * @throws StoreError `not_found` (read-only and missing), `not_a_database`, `newer_schema`, `older_schema` (read-only),
 * `read_only`, `disk_full`, `io_error`, `busy`, `corrupt`.
 */
export function openDatabase(dataDir: string, options: OpenOptions = {}): Database {
  const { readonly = false, durability = 'process', busyTimeoutMs = 10_000 } = options;
  const directory = resolve(dataDir);
  const path = join(directory, databaseFileName);
  if (readonly && !existsSync(path)) throw new StoreError('not_found', `There is no database at ${path}.`);
  let sqlite: Sqlite.Database | undefined;
  try {
    if (!readonly) {
      mkdirSync(directory, { recursive: true });
      accessSync(directory, constants.W_OK);
      if (existsSync(path)) accessSync(path, constants.W_OK); // SQLite would open it for reading without a word
    }
    sqlite = new Sqlite(path, { readonly, timeout: busyTimeoutMs });
    sqlite.pragma('foreign_keys = ON');
    requireOurs(sqlite, path);
    if (readonly) {
      requireCurrentSchema(sqlite, path);
      if (isWritable(directory)) recoverJournals(directory, (work) => {
        using writing = openDatabase(directory, { ...options, readonly: false });
        work(writing);
      });
      return connection(directory, path, sqlite);
    }
    sqlite.pragma(`synchronous = ${durability === 'power' ? 'FULL' : 'NORMAL'}`);
    enterWalMode(sqlite, busyTimeoutMs);
    migrate(sqlite, path, applicationId);
    const db = connection(directory, path, sqlite);
    recoverJournals(directory, (work) => { work(db); });
    return db;
  } catch (error) {
    sqlite?.close();
    throw toOpenError(error, path);
  }
}

function isWritable(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function connection(dataDir: string, path: string, sqlite: Sqlite.Database): Database {
  const statements = new Map<unknown, unknown>();
  const db: Database = {
    dataDir,
    path,
    sqlite,
    orm: drizzle(sqlite, { schema }),
    prepared<T>(build: (db: Database) => T): T {
      let statement = statements.get(build);
      if (statement === undefined) statements.set(build, statement = build(db));
      return statement as T; // the map holds under `build` only what `build` returned
    },
    write<T>(work: () => T): T {
      try {
        return sqlite.inTransaction ? inSavepoint(db, work) : sqlite.transaction(work).immediate();
      } catch (error) {
        throw toStoreError(error, path);
      }
    },
    close: () => { sqlite.close(); },
    [Symbol.dispose]: () => { sqlite.close(); },
  };
  return db;
}

/** As better-sqlite3's nested transactions, without making four functions a call: the writer does this thousands of times a second. */
function inSavepoint<T>(db: Database, work: () => T): T {
  const savepoint = db.prepared(savepointStatements);
  savepoint.begin.run();
  try {
    const result = work();
    savepoint.release.run();
    return result;
  } catch (error) {
    // A full disk, among others, ends the whole transaction; then there is no savepoint to go back to.
    if (db.sqlite.inTransaction) {
      savepoint.undo.run();
      savepoint.release.run();
    }
    throw error;
  }
}

const savepointStatements = ({ sqlite }: Database) => ({
  begin: sqlite.prepare('savepoint work'), undo: sqlite.prepare('rollback to work'), release: sqlite.prepare('release work'),
});

/** Reads the header. A database of another program, even an empty-looking one, is never written to. In one transaction: another process may be making this one. */
function requireOurs(sqlite: Sqlite.Database, path: string): void {
  const { id, objects } = sqlite.transaction(() => ({
    id: sqlite.pragma('application_id', { simple: true }),
    objects: sqlite.prepare<[], { count: number }>('select count(*) as count from sqlite_schema').get()?.count ?? 0,
  })).deferred();
  if (id === applicationId) return;
  if (id !== 0 || objects > 0) throw new StoreError('not_a_database', `${path} is a SQLite database, but not Fulgurite's; choose another dataDir.`);
}

/** Two connections that switch a new file to WAL at once can meet a lock that SQLite's busy timeout does not cover: try again. */
function enterWalMode(sqlite: Sqlite.Database, busyTimeoutMs: number): void {
  const deadline = Date.now() + busyTimeoutMs;
  for (;;) {
    try {
      sqlite.pragma('journal_mode = WAL');
      return;
    } catch (error) {
      if (toStoreError(error).code !== 'busy' || Date.now() > deadline) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

/** The file system's own errors get the same codes as SQLite's. */
function toOpenError(error: unknown, path: string): StoreError {
  const known = error instanceof Error && 'code' in error ? fileSystemErrors[String(error.code)] : undefined;
  return known === undefined ? toStoreError(error, path) : new StoreError(known[0], `${known[1]} (${path}).`, { cause: error });
}

const fileSystemErrors: Readonly<Record<string, readonly [StoreErrorCode, string]>> = {
  EACCES: ['read_only', 'This user may not write in the data directory'],
  EPERM: ['read_only', 'This user may not write in the data directory'],
  EROFS: ['read_only', 'The data directory is on a read-only file system'],
  ENOSPC: ['disk_full', 'The disk is full'],
  EEXIST: ['io_error', 'The data directory is not a directory'],
  ENOTDIR: ['io_error', 'The data directory is not a directory'],
};
