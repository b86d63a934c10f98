/** Noticing what other connections, in this process or another, have committed. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from './open.ts';

/**
 * Yields once at the start and then after every poll that finds a commit of another connection (`PRAGMA data_version`, no disk
 * access). What changed is for the caller to read. Ends when the signal aborts.
 */
export async function* watchChanges(db: Database, intervalMs: number, signal: AbortSignal): AsyncGenerator<void, void, void> {
  let seen: number | undefined;
  while (!signal.aborted) {
    const version = db.prepared(readDataVersion).get();
    if (version !== seen) {
      seen = version;
      yield;
    }
    // Waking early by the signal is how this ends, not an error.
    await sleep(intervalMs, undefined, { signal }).catch((error: unknown) => { if (!signal.aborted) throw error; });
  }
}

const readDataVersion = (db: Database) => db.sqlite.prepare<[], number>('pragma data_version').pluck();
