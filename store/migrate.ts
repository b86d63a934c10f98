/**
 * Applies the generated migrations. Drizzle's own migrator reads the applied list before it takes a lock, so two processes that
 * open a new file at once both run the first one; here the check and the change are one transaction.
 */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type Sqlite from 'better-sqlite3';
import { StoreError } from './errors.ts';

interface Journal { readonly entries: readonly { readonly tag: string }[] }

/** `PRAGMA user_version` counts the migrations applied. */
const schemaVersion = (sqlite: Sqlite.Database): number => Number(sqlite.pragma('user_version', { simple: true }));

/** @throws StoreError `newer_schema`. */
export function migrate(sqlite: Sqlite.Database, path: string, applicationId: number): void {
  const migrations = readMigrations();
  if (schemaVersion(sqlite) === migrations.length) return;
  sqlite.transaction(() => {
    const applied = schemaVersion(sqlite);
    refuseNewer(applied, migrations.length, path);
    for (const tag of migrations.slice(applied)) sqlite.exec(readFileSync(migrationFile(`${tag}.sql`), 'utf8'));
    sqlite.pragma(`application_id = ${applicationId}`);
    sqlite.pragma(`user_version = ${migrations.length}`);
  }).immediate();
}

/** For a connection that must not write. @throws StoreError `newer_schema`, `older_schema`. */
export function requireCurrentSchema(sqlite: Sqlite.Database, path: string): void {
  const applied = schemaVersion(sqlite);
  const known = readMigrations().length;
  refuseNewer(applied, known, path);
  if (applied < known) throw new StoreError('older_schema', `${path} has an older schema; start \`fulgurite serve\` once to bring it up to date.`);
}

function refuseNewer(applied: number, known: number, path: string): void {
  if (applied > known) throw new StoreError('newer_schema', `${path} was written by a newer Fulgurite (schema ${applied}, this one knows ${known}); use that version.`);
}

function readMigrations(): string[] {
  const journal = JSON.parse(readFileSync(migrationFile('meta/_journal.json'), 'utf8')) as Journal; // our own generated file
  return journal.entries.map((entry) => entry.tag);
}

/** `migrations/` is beside `store/` in the sources, and one level further up from `dist/store/`. */
function migrationFile(name: string): string {
  const [sources, built] = ['../migrations/', '../../migrations/'].map((folder) => fileURLToPath(new URL(folder + name, import.meta.url)));
  return sources !== undefined && existsSync(sources) ? sources : built ?? '';
}
