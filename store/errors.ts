/** The one error class of the store, and the translation of SQLite's own errors into it. */

export type StoreErrorCode =
  // opening and the file itself
  | 'not_found' | 'not_a_database' | 'newer_schema' | 'older_schema' | 'read_only' | 'disk_full' | 'io_error' | 'busy'
  | 'corrupt' | 'model_mismatch'
  // the writer
  | 'queue_full' | 'writer_failed' | 'closed'
  // what was asked for
  | 'unknown_rollout' | 'unknown_attempt' | 'unknown_step' | 'unknown_response' | 'unknown_policy' | 'unknown_round'
  | 'unknown_key' | 'unknown_cursor' | 'rejected_policy' | 'missing_policy' | 'no_previous_version'
  | 'illegal_transition' | 'conflict' | 'failed';

/** `message` is one sentence that says what is wrong and, where there is a way, what to do. */
export class StoreError extends Error {
  readonly code: StoreErrorCode;
  constructor(code: StoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StoreError';
    this.code = code;
  }
}

/** The database cannot be written now, but may be later: by itself, or once somebody has made room. */
export const unwritable: ReadonlySet<StoreErrorCode> = new Set(['busy', 'disk_full', 'io_error', 'read_only']);

/** SQLite result codes (https://sqlite.org/rescode.html) by prefix; the first that fits. */
const byPrefix: readonly (readonly [prefix: string, code: StoreErrorCode, sentence: string])[] = [
  ['SQLITE_NOTADB', 'not_a_database', 'The file is not a SQLite database'],
  ['SQLITE_CORRUPT', 'corrupt', 'The database file is damaged'],
  ['SQLITE_READONLY', 'read_only', 'The database cannot be written'],
  ['SQLITE_PERM', 'read_only', 'The database cannot be accessed with this user\'s rights'],
  ['SQLITE_CANTOPEN', 'io_error', 'The database file cannot be opened'],
  ['SQLITE_FULL', 'disk_full', 'The disk is full'],
  ['SQLITE_IOERR', 'io_error', 'Reading or writing the database failed'],
  ['SQLITE_BUSY', 'busy', 'Another process keeps the database locked'],
  ['SQLITE_LOCKED', 'busy', 'Another statement kept the table locked'],
  ['SQLITE_CONSTRAINT', 'conflict', 'The row contradicts another one'],
];

/** Any error thrown under the store as a `StoreError`; the original is its `cause`. */
export function toStoreError(error: unknown, where?: string): StoreError {
  if (error instanceof StoreError) return error;
  const sqliteCode = sqliteCodeOf(error);
  const known = byPrefix.find(([prefix]) => sqliteCode?.startsWith(prefix));
  const detail = error instanceof Error ? error.message : String(error);
  const place = where === undefined ? '' : ` (${where})`;
  if (known === undefined) return new StoreError('failed', `The store failed${place}: ${detail}.`, { cause: error });
  return new StoreError(known[1], `${known[2]}${place}: ${detail}.`, { cause: error });
}

/** Drizzle wraps the driver's error as `cause`; the SQLite code is on the innermost one. */
function sqliteCodeOf(error: unknown): string | undefined {
  for (let current = error; current instanceof Error; current = current.cause) {
    if ('code' in current && typeof current.code === 'string' && current.code.startsWith('SQLITE_')) return current.code;
  }
  return undefined;
}
