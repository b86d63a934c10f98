/** A lock that one process at a time holds, and that ends with it however it ends: SQLite's own, on a file that stays empty. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Sqlite from 'better-sqlite3';
import { toStoreError } from './errors.ts';

const retryMs = 50;

/**
 * Waits until no other process holds `<dataDir>/<name>.lock`; disposing gives it back. Null if the signal aborts first.
 * @param onWait called once, if another holds it
 * @throws StoreError where the file cannot be made
 */
export async function acquireLock(dataDir: string, name: string, signal: AbortSignal, onWait: () => void): Promise<Disposable | null> {
  for (let tries = 0; !signal.aborted; tries++) {
    const lock = tryLock(dataDir, name);
    if (lock !== null) return lock;
    if (tries === 0) onWait();
    await sleep(retryMs);
  }
  return null;
}

/** The lock on `<directory>/<name>.lock`, or null where another holds it. @throws StoreError where the file cannot be made */
export function tryLock(directory: string, name: string): Disposable | null {
  const path = join(directory, `${name}.lock`);
  let sqlite: Sqlite.Database | undefined;
  try {
    sqlite = new Sqlite(path, { timeout: 0 });
    sqlite.exec('begin exclusive');
    const held = sqlite;
    return { [Symbol.dispose]: () => { held.close(); } };
  } catch (error) {
    sqlite?.close();
    const translated = toStoreError(error, path);
    if (translated.code === 'busy') return null;
    throw translated;
  }
}
