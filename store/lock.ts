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
  const path = join(dataDir, `${name}.lock`);
  const sqlite = new Sqlite(path, { timeout: 0 });
  try {
    for (let tries = 0; !signal.aborted; tries++) {
      if (isFree(sqlite, path)) return { [Symbol.dispose]: () => { sqlite.close(); } };
      if (tries === 0) onWait();
      await sleep(retryMs);
    }
  } catch (error) {
    sqlite.close();
    throw error;
  }
  sqlite.close();
  return null;
}

/** True: it is ours now. */
function isFree(sqlite: Sqlite.Database, path: string): boolean {
  try {
    sqlite.exec('begin exclusive');
    return true;
  } catch (error) {
    const translated = toStoreError(error, path);
    if (translated.code === 'busy') return false;
    throw translated;
  }
}
