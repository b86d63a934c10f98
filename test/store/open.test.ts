import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import Sqlite from 'better-sqlite3';
import { StoreError } from '../../store/errors.ts';
import { databaseFileName, openDatabase } from '../../store/open.ts';
import { createRollout, listRollouts } from '../../store/rollouts.ts';
import { findRound } from '../../store/rounds.ts';
import { temporaryDatabase, temporaryDirectory } from './temporary.ts';

const refusal = (code: StoreError['code'], message: RegExp) => (error: unknown): boolean => {
  assert.ok(error instanceof StoreError, String(error));
  assert.equal(error.code, code);
  assert.match(error.message, message);
  return true;
};

describe('openDatabase', () => {
  it('makes the directory and the database, in WAL mode with foreign keys', (t) => {
    const directory = join(temporaryDirectory(t), 'a', 'b');
    using db = openDatabase(directory);
    assert.ok(existsSync(join(directory, databaseFileName)));
    assert.equal(db.sqlite.pragma('journal_mode', { simple: true }), 'wal');
    assert.equal(db.sqlite.pragma('foreign_keys', { simple: true }), 1);
  });

  for (const [durability, synchronous] of [['process', 1], ['power', 2]] as const) {
    it(`durability "${durability}" is synchronous ${synchronous}`, (t) => {
      const db = temporaryDatabase(t, { durability });
      assert.equal(db.sqlite.pragma('synchronous', { simple: true }), synchronous);
    });
  }

  it('refuses a file that is not a database', (t) => {
    const directory = temporaryDirectory(t);
    writeFileSync(join(directory, databaseFileName), 'this is a text file, and long enough to have a header of some sort\n'.repeat(20));
    assert.throws(() => openDatabase(directory), refusal('not_a_database', /not a SQLite database/));
  });

  it('refuses another program\'s database and leaves it as it is', (t) => {
    const directory = temporaryDirectory(t);
    const other = new Sqlite(join(directory, databaseFileName));
    other.exec('create table theirs (x)');
    assert.throws(() => openDatabase(directory), refusal('not_a_database', /not Fulgurite's/));
    assert.deepEqual(other.prepare('select name from sqlite_schema').all(), [{ name: 'theirs' }]);
    assert.equal(other.pragma('journal_mode', { simple: true }), 'delete');
    other.close();
  });

  it('refuses a newer schema', (t) => {
    const directory = temporaryDirectory(t);
    const db = openDatabase(directory);
    db.sqlite.pragma('user_version = 99');
    db.close();
    assert.throws(() => openDatabase(directory), refusal('newer_schema', /newer Fulgurite \(schema 99/));
    assert.throws(() => openDatabase(directory, { readonly: true }), refusal('newer_schema', /newer Fulgurite/));
  });

  it('read-only: refuses a missing file, an older schema, and writes', (t) => {
    const directory = temporaryDirectory(t);
    assert.throws(() => openDatabase(directory, { readonly: true }), refusal('not_found', /no database at/));
    const db = openDatabase(directory);
    createRollout(db, { mode: 'train' });
    db.close();
    const reader = openDatabase(directory, { readonly: true });
    assert.equal(listRollouts(reader).items.length, 1);
    assert.throws(() => createRollout(reader, { mode: 'train' }), refusal('read_only', /cannot be written/));
    reader.close();
    const old = openDatabase(directory);
    old.sqlite.pragma('user_version = 0');
    old.close();
    assert.throws(() => openDatabase(directory, { readonly: true }), refusal('older_schema', /fulgurite serve/));
  });

  it('brings a database of the first schema up to date, with what it holds', (t) => {
    const directory = temporaryDirectory(t);
    const old = new Sqlite(join(directory, databaseFileName));
    old.exec(readFileSync(new URL('../../migrations/0000_initial.sql', import.meta.url), 'utf8'));
    old.exec("insert into rounds (state, seed, base_version, requested_at) values ('promoted', 3, 0, 1)");
    old.pragma('application_id = 0x46554c47');
    old.pragma('user_version = 1');
    old.close();
    using db = openDatabase(directory);
    const round = findRound(db, 1);
    assert.deepEqual([round?.seed, round?.rewardsThrough, round?.interruptions], [3, null, 0]);
  });

  it('says so when the directory cannot be written', { skip: process.getuid?.() === 0 ? 'root may write anywhere' : false }, (t) => {
    const directory = temporaryDirectory(t);
    openDatabase(directory).close();
    chmodSync(join(directory, databaseFileName), 0o400);
    assert.throws(() => openDatabase(directory), refusal('read_only', /cannot be written|may not write/));
    chmodSync(directory, 0o500);
    try {
      assert.throws(() => openDatabase(directory), refusal('read_only', /may not write/));
    } finally {
      chmodSync(directory, 0o700);
    }
  });

  it('says so when the path is a file', (t) => {
    const file = join(temporaryDirectory(t), 'file');
    writeFileSync(file, '');
    assert.throws(() => openDatabase(file), refusal('io_error', /not a directory .*file/));
  });

  it('a full disk is disk_full, and what was committed stays', (t) => {
    const db = temporaryDatabase(t);
    createRollout(db, { mode: 'train' });
    const pages = db.sqlite.pragma('page_count', { simple: true });
    db.sqlite.pragma(`max_page_count = ${Number(pages)}`); // SQLite's own way to SQLITE_FULL
    assert.throws(() => createRollout(db, { mode: 'train', input: 'x'.repeat(100_000) }), refusal('disk_full', /disk is full/));
    assert.equal(listRollouts(db).items.length, 1);
  });

  it('a writer that keeps the lock makes others wait, then fail as busy', (t) => {
    const holder = temporaryDatabase(t);
    using other = openDatabase(holder.dataDir, { busyTimeoutMs: 50 });
    holder.sqlite.exec('begin immediate');
    const started = performance.now();
    assert.throws(() => createRollout(other, { mode: 'train' }), refusal('busy', /locked/));
    assert.ok(performance.now() - started >= 45);
    holder.sqlite.exec('commit');
    createRollout(other, { mode: 'train' });
  });

  it('three processes may open, and so make, one database at once', async (t) => {
    const directory = temporaryDirectory(t);
    const script = `
      const { openDatabase } = await import(${JSON.stringify(new URL('../../store/open.ts', import.meta.url).href)});
      const { createRollout } = await import(${JSON.stringify(new URL('../../store/rollouts.ts', import.meta.url).href)});
      process.stdout.write('loaded');
      await new Promise((go) => process.stdin.once('data', go));
      for (let i = 0; i < 10; i++) {
        const db = openDatabase(process.env.DATA_DIR + '/' + i);
        createRollout(db, { mode: 'train' });
        db.close();
      }
      process.exit(0);`;
    const children = [1, 2, 3].map(() => spawn(process.execPath, ['--input-type=module', '-e', script],
      { env: { ...process.env, DATA_DIR: directory }, stdio: ['pipe', 'pipe', 'inherit'] }));
    await Promise.all(children.map((child) => once(child.stdout, 'data')));
    const exits = Promise.all(children.map((child) => once(child, 'exit')));
    for (const child of children) child.stdin.end('go');
    assert.deepEqual((await exits).map(([code]: unknown[]) => code), [0, 0, 0]);
    for (let i = 0; i < 10; i++) {
      using db = openDatabase(join(directory, String(i)));
      assert.equal(listRollouts(db).items.length, 3);
    }
  });
});

describe('write', () => {
  it('rolls back what it did when it throws, also inside another one', (t) => {
    const db = temporaryDatabase(t);
    db.write(() => {
      createRollout(db, { id: 'ro_kept', mode: 'train' });
      assert.throws(() => db.write(() => {
        createRollout(db, { id: 'ro_undone', mode: 'train' });
        throw new Error('no');
      }), /no/);
    });
    assert.deepEqual(listRollouts(db).items.map((rollout) => rollout.id), ['ro_kept']);
  });
});
