/** What a process that was killed had recorded, and its writer thread had not committed yet. */
import { rmSync } from 'node:fs';
import { unwritable, type StoreErrorCode } from '../errors.ts';
import { commitGroup, prepareGroup } from '../group-commit.ts';
import { tryLock } from '../lock.ts';
import type { Database } from '../open.ts';
import { filesOf, journalsIn, lockName } from './directory.ts';
import { JournalReader } from './reader.ts';

const entriesPerCommit = 512;

/** Any other failure of an entry says that it is there already: it was committed before its process was killed. */
const unreadable: ReadonlySet<StoreErrorCode> = new Set([...unwritable, 'corrupt']);

/**
 * Puts the journals that nobody owns any more into the database, and deletes them. Any number of processes may do so at once.
 * @param withDatabase gives a connection that may write; called only where there is something to put into it
 * @throws StoreError where the database cannot be written; the journals stay
 */
export function recoverJournals(dataDir: string, withDatabase: (work: (db: Database) => void) => void): void {
  for (const directory of journalsIn(dataDir)) {
    using lock = tryLock(directory, lockName);
    if (lock === null) continue;
    if (filesOf(directory).length > 0) withDatabase((db) => { replay(db, directory); });
    rmSync(directory, { recursive: true, force: true });
  }
}

function replay(db: Database, directory: string): void {
  const reader = new JournalReader(directory);
  try {
    for (let entries; (entries = reader.read(entriesPerCommit)).length > 0;) {
      for (const outcome of commitGroup(db, prepareGroup(entries.map((entry) => ({ id: null, ...entry }))))) {
        if (!outcome.ok && unreadable.has(outcome.error.code)) throw outcome.error;
      }
    }
  } finally {
    reader.close();
  }
}
