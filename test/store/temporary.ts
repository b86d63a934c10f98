/** Directories and connections for the store's tests. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { openDatabase, type Database, type OpenOptions } from '../../store/open.ts';

/** A directory that goes away with the test. */
export function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'fulgurite-store-'));
  t.after(() => { rmSync(directory, { recursive: true, force: true }); });
  return directory;
}

/** A connection that is closed before its directory goes away. */
export function temporaryDatabase(t: TestContext, options: OpenOptions = {}): Database {
  const db = openDatabase(temporaryDirectory(t), options);
  t.after(() => { db.close(); });
  return db;
}
