/** What was acknowledged by the journal and killed before its commit. The database is locked from outside, so that there is no commit. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, cpSync, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FrameEncoder } from '../../../store/journal/frames.ts';
import { openDatabase, type Database } from '../../../store/open.ts';
import { listSteps } from '../../../store/steps.ts';
import { startWriter } from '../../../store/writer.ts';
import { completeStep, openStep } from '../rows.ts';
import { temporaryDirectory } from '../temporary.ts';

const script = fileURLToPath(new URL('../record-on-demand.ts', import.meta.url));

interface Recording {
  readonly dataDir: string;
  /** Acknowledged, in order; none of them is in the database. */
  readonly ids: readonly string[];
  /** Holds the database's lock. */
  readonly blocker: Database;
  readonly kill: () => Promise<void>;
}

async function recordWhileLocked(t: TestContext, count: number): Promise<Recording> {
  const dataDir = temporaryDirectory(t);
  const child = spawn(process.execPath, [script, dataDir], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const nextLine = async (): Promise<string> => String((await lines.next()).value);
  assert.equal(await nextLine(), 'ready');
  const blocker = openDatabase(dataDir);
  blocker.sqlite.exec('begin immediate');
  child.stdin.write(`${count}\n`);
  const ids = (await nextLine()).split(',');
  assert.equal(ids.length, count);
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exited;
  };
  t.after(kill);
  t.after(() => { blocker.close(); });
  return { dataDir, ids, blocker, kill };
}

const journals = (dataDir: string): string[] => readdirSync(join(dataDir, 'journal'));
const complete = (db: Database): string[] => listSteps(db, { state: 'complete', order: 'oldest', limit: 10_000 }).items.map(({ id }) => id).sort();

describe('a process killed between acknowledgement and commit', () => {
  it('has all that it acknowledged, once, for whoever opens the database next', async (t) => {
    const { dataDir, ids, blocker, kill } = await recordWhileLocked(t, 400);
    assert.equal(listSteps(blocker).items.length, 0);
    await kill();
    blocker.sqlite.exec('rollback');
    using reader = openDatabase(dataDir, { readonly: true });
    assert.deepEqual(complete(reader), ids.toSorted());
    assert.deepEqual(journals(dataDir), []);
    using again = openDatabase(dataDir);
    assert.equal(listSteps(again, { limit: 10_000 }).items.length, ids.length);
  });

  it('keeps its journal to itself while it lives', async (t) => {
    const { dataDir, ids, blocker, kill } = await recordWhileLocked(t, 3);
    blocker.sqlite.exec('rollback');
    for (const readonly of [true, false]) openDatabase(dataDir, { readonly }).close();
    assert.equal(journals(dataDir).length, 1);
    await kill();
    assert.equal(journals(dataDir).length, 1);
    using db = openDatabase(dataDir);
    assert.deepEqual(complete(db), ids.toSorted());
  });

  it('a database that is locked still keeps the journal for the next try', async (t) => {
    const { dataDir, ids, blocker, kill } = await recordWhileLocked(t, 3);
    await kill();
    assert.throws(() => openDatabase(dataDir, { busyTimeoutMs: 20 }), /locked/);
    assert.equal(journals(dataDir).length, 1);
    blocker.sqlite.exec('rollback');
    using db = openDatabase(dataDir);
    assert.deepEqual(complete(db), ids.toSorted());
  });

  it('read twice, or half of it committed already: each step is there once', async (t) => {
    const { dataDir, ids, blocker, kill } = await recordWhileLocked(t, 20);
    await kill();
    blocker.sqlite.exec('rollback');
    const copy = temporaryDirectory(t);
    cpSync(join(dataDir, 'journal'), copy, { recursive: true });
    openDatabase(dataDir).close();
    blocker.sqlite.exec(`delete from steps where rowid > (select min(rowid) + 9 from steps)`);
    blocker.sqlite.exec(`update steps set state = 'crashed' where id = '${ids[0]}'`); // by a server that was quicker
    cpSync(copy, join(dataDir, 'journal'), { recursive: true });
    using db = openDatabase(dataDir);
    assert.deepEqual(complete(db), ids.toSorted());
    assert.equal(listSteps(db, { limit: 100 }).items.length, ids.length);
  });

  it('in the middle of an entry: what came before it is there', async (t) => {
    const { dataDir, ids, blocker, kill } = await recordWhileLocked(t, 5);
    await kill();
    blocker.sqlite.exec('rollback');
    const [journal] = journals(dataDir);
    const torn = new FrameEncoder().encode('completeSteps', [completeStep('st_torn')]);
    appendFileSync(join(dataDir, 'journal', journal ?? '', '1.log'), torn.subarray(0, torn.byteLength - 1));
    using db = openDatabase(dataDir);
    assert.deepEqual(complete(db), ids.toSorted());
  });
});

describe('a writer that is closed', () => {
  it('leaves no journal, and has put all of it into the database', async (t) => {
    const dataDir = temporaryDirectory(t);
    const writer = await startWriter({ dataDir });
    const started = await writer.write('createRollout', { mode: 'train' });
    const step = openStep(started);
    await writer.record('openSteps', [step]);
    await writer.record('completeSteps', [completeStep(step.id)]);
    assert.equal(writer.stats().ahead.entries, 2);
    await writer.close();
    assert.deepEqual(journals(dataDir), []);
    using db = openDatabase(dataDir, { readonly: true });
    assert.deepEqual(complete(db), [step.id]);
  });

  it('leaves the journal to the next one where the database takes nothing', async (t) => {
    const dataDir = temporaryDirectory(t);
    const writer = await startWriter({ dataDir, busyTimeoutMs: 50 });
    const started = await writer.write('createRollout', { mode: 'train' });
    const step = openStep(started);
    {
      using blocker = openDatabase(dataDir);
      blocker.sqlite.exec('begin immediate');
      await writer.record('openSteps', [step]);
      await writer.record('completeSteps', [completeStep(step.id)]);
      await writer.close();
    }
    using db = openDatabase(dataDir, { readonly: true });
    assert.deepEqual(complete(db), [step.id]);
  });

  it('has no journal with durability "power"', async (t) => {
    const dataDir = temporaryDirectory(t);
    await using writer = await startWriter({ dataDir, durability: 'power' });
    const { rollout } = await writer.write('createRollout', { mode: 'train' });
    await writer.record('createRollout', { id: `${rollout.id}2`, mode: 'train' });
    assert.equal(writer.stats().ahead.entries, 0);
    assert.ok(!existsSync(join(dataDir, 'journal')));
  });
});
