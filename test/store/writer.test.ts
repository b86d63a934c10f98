import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { StoreError, type StoreErrorCode } from '../../store/errors.ts';
import { openDatabase, type Database } from '../../store/open.ts';
import { listRewards } from '../../store/rewards.ts';
import { getRollout, listRollouts } from '../../store/rollouts.ts';
import { getStep, listSteps } from '../../store/steps.ts';
import { connectWriter, startThread, startWriter, whenReady, type StoreWriter, type WriterOptions } from '../../store/writer.ts';
import { completeStep, openStep } from './rows.ts';
import { temporaryDirectory } from './temporary.ts';

const refused = (code: StoreErrorCode) => (error: unknown): boolean => error instanceof StoreError && error.code === code;

/** A writer and, beside it, a read-only connection as the proxy has. */
async function start(t: TestContext, options: Partial<WriterOptions> = {}): Promise<{ writer: StoreWriter; db: Database; dataDir: string }> {
  const dataDir = temporaryDirectory(t);
  const writer = await startWriter({ dataDir, ...options });
  const db = openDatabase(dataDir, { readonly: true });
  t.after(async () => {
    await writer.close();
    db.close();
  });
  return { writer, db, dataDir };
}

describe('the writer', () => {
  it('what a resolved promise stands for can be read by another connection', async (t) => {
    const { writer, db } = await start(t);
    const started = await writer.write('createRollout', { mode: 'train', input: { q: 'ü' } });
    assert.deepEqual(getRollout(db, started.rollout.id)?.input, { q: 'ü' });
    const step = openStep(started);
    await writer.write('openSteps', [step]);
    assert.equal(getStep(db, step.id)?.state, 'open');
    await writer.write('completeSteps', [completeStep(step.id)]);
    assert.deepEqual(getStep(db, step.id)?.completionIds, Int32Array.of(4, 5));
    const { reward } = await writer.write('giveReward', { target: { stepId: step.id }, value: 1, source: 'agent' });
    assert.deepEqual(listRewards(db, { rolloutId: started.rollout.id }), [reward]);
  });

  it('commits in groups: many commands, few commits', async (t) => {
    const { writer, db } = await start(t);
    const started = await writer.write('createRollout', { mode: 'train' });
    const before = writer.stats().commits;
    const steps = Array.from({ length: 300 }, (_, sequence) => openStep(started, { sequence }));
    await Promise.all(steps.flatMap((step) => [writer.write('openSteps', [step]), writer.write('completeSteps', [completeStep(step.id)])]));
    assert.ok(writer.stats().commits - before <= 4, `${writer.stats().commits - before} commits`);
    assert.deepEqual(getRollout(db, started.rollout.id)?.counts.complete, 300);
    assert.deepEqual(listSteps(db, { order: 'oldest', limit: 300 }).items.map((step) => step.sequence), steps.map((step) => step.sequence));
  });

  it('what comes while a commit runs goes into the next one', async (t) => {
    const { writer, dataDir } = await start(t);
    using other = openDatabase(dataDir);
    other.sqlite.exec('begin immediate'); // the first command's transaction waits for this lock
    const first = writer.write('createRollout', { mode: 'train' });
    await sleep(50);
    const during: Promise<unknown>[] = [];
    for (let turn = 0; turn < 20; turn++) {
      during.push(writer.write('createRollout', { mode: 'train' }));
      await sleep(1); // each in a message of its own
    }
    other.sqlite.exec('commit');
    await Promise.all([first, ...during]);
    assert.equal(writer.stats().commits, 2);
  });

  it('a failing command fails alone, with its own error', async (t) => {
    const { writer, db } = await start(t);
    const started = await writer.write('createRollout', { mode: 'train' });
    const steps = [0, 1, 2].map(() => openStep(started));
    const outcomes = await Promise.allSettled([
      writer.write('openSteps', steps.slice(0, 1)),
      writer.write('openSteps', [openStep(started), openStep(started, { rolloutId: 'ro_none' })]),
      writer.write('giveReward', { target: { stepId: 'st_none' }, value: 1, source: 'agent' }),
      writer.write('openSteps', steps.slice(1)),
      writer.write('completeSteps', [completeStep('st_none')]),
    ]);
    assert.equal(writer.stats().commits, 2, 'one transaction held them all');
    assert.deepEqual(outcomes.map((outcome) => (outcome.status === 'rejected' ? (outcome.reason as StoreError).code : 'ok')),
      ['ok', 'conflict', 'unknown_step', 'ok', 'unknown_step']);
    assert.deepEqual(listSteps(db, { order: 'oldest' }).items.map((step) => step.id), steps.map((step) => step.id));
  });

  it('an opening that nobody awaits may fail; its completion says so', async (t) => {
    const { writer } = await start(t, { durability: 'power' });
    const { rollout } = await writer.write('createRollout', { mode: 'train' });
    const step = openStep({ rollout, attempt: { id: 'at_none' } });
    void writer.record('openSteps', [step]); // an unhandled rejection would fail this test
    await assert.rejects(writer.record('completeSteps', [completeStep(step.id)]), refused('unknown_step'));
  });

  it('copies arrays: views on shared buffers arrive whole, and stay the caller\'s', async (t) => {
    const { writer, db } = await start(t);
    const started = await writer.write('createRollout', { mode: 'train' });
    const step = openStep(started, { request: Buffer.from('{"pooled":true}') });
    const ids = Int32Array.of(7, 8, 9, 10);
    void writer.write('openSteps', [step]);
    await writer.write('completeSteps', [completeStep(step.id, { promptIds: ids, completionIds: ids.subarray(1, 3) })]);
    const read = getStep(db, step.id);
    assert.deepEqual([read?.request, read?.promptIds, read?.completionIds], ['{"pooled":true}', ids, Int32Array.of(8, 9)]);
    assert.equal(ids.length, 4);
  });
});

describe('what is recorded', () => {
  it('is acknowledged before it is committed, and is in the database in order with what is written', async (t) => {
    const { writer, db, dataDir } = await start(t);
    await writer.record('createRollout', { id: 'ro_1', attemptId: 'at_1', mode: 'live' });
    const ids = Array.from({ length: 600 }, (_, sequence) => {
      const step = openStep({ rollout: { id: 'ro_1' }, attempt: { id: 'at_1' } }, { sequence, request: 'x'.repeat(20_000) });
      void writer.record('openSteps', [step]);
      void writer.record('completeSteps', [completeStep(step.id)]);
      return step.id;
    });
    // Written after them, so committed after them.
    await writer.write('giveReward', { target: { stepId: ids.at(-1) ?? '' }, value: 1, source: 'agent' });
    assert.equal(writer.stats().ahead.entries, 0);
    assert.equal(getRollout(db, 'ro_1')?.counts.complete, 600);
    await writer.record('openSteps', [openStep({ rollout: { id: 'ro_1' }, attempt: { id: 'at_1' } })]);
    await writer.settled();
    assert.equal(readdirSync(join(dataDir, 'journal'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.log')).length, 1, 'files whose entries are all in the database are gone');
  });

  it('what is too large for the journal, and all that comes after it, is awaited', async (t) => {
    const { writer, db } = await start(t);
    const started = await writer.write('createRollout', { mode: 'train' });
    const large = openStep(started, { request: 'x'.repeat(2 * 1024 * 1024) });
    void writer.record('openSteps', [large]);
    await writer.record('completeSteps', [completeStep(large.id)]);
    assert.equal(getStep(db, large.id)?.state, 'complete');
  });

  it('where the database refuses it after all, that is said, and nothing is acknowledged before its commit any more', async (t) => {
    const errors: StoreError[] = [];
    const { writer, db } = await start(t, { onRefused: (error) => { errors.push(error); } });
    const started = await writer.write('createRollout', { mode: 'train' });
    await writer.record('completeSteps', [completeStep('st_none')]);
    await writer.settled();
    assert.deepEqual(errors.map(({ code }) => code), ['unknown_step']);
    await assert.rejects(writer.record('completeSteps', [completeStep('st_none')]), refused('unknown_step'));
    const step = openStep(started);
    await writer.record('openSteps', [step]);
    assert.equal(getStep(db, step.id)?.state, 'open');
  });
});

describe('the writer\'s queue', () => {
  it('is bounded by count: queue_full at once, but a completion always gets in', async (t) => {
    const { writer, db } = await start(t, { maxQueuedCommands: 3 });
    const started = await writer.write('createRollout', { mode: 'train' });
    const steps = [0, 1, 2].map(() => openStep(started));
    const opened = steps.map((step) => writer.write('openSteps', [step]));
    assert.throws(() => writer.write('openSteps', [openStep(started)]), refused('queue_full'));
    await Promise.all([...opened, ...steps.map((step) => writer.write('completeSteps', [completeStep(step.id)]))]);
    assert.equal(writer.stats().queuedCommands, 0);
    await writer.write('openSteps', [openStep(started)]);
    assert.equal(listSteps(db).items.length, 4);
  });

  it('is bounded by bytes', async (t) => {
    const { writer } = await start(t, { maxQueuedBytes: 10_000 });
    const started = await writer.write('createRollout', { mode: 'train' });
    const large = (): ReturnType<typeof openStep> => openStep(started, { request: 'x'.repeat(6000) });
    const opened = writer.write('openSteps', [large()]);
    assert.throws(() => writer.write('openSteps', [large()]), refused('queue_full'));
    await opened;
    assert.equal(writer.stats().queuedBytes, 0);
    await writer.write('openSteps', [large()]);
  });

  it('is emptied by close; after that nothing is accepted', async (t) => {
    const { writer, db } = await start(t);
    const many = Array.from({ length: 1200 }, () => writer.write('createRollout', { mode: 'live' }));
    await writer.close();
    await Promise.all(many);
    assert.equal(listRollouts(db, { limit: 2000 }).items.length, 1200);
    assert.throws(() => writer.write('createRollout', { mode: 'live' }), refused('closed'));
    await writer.close();
  });
});

describe('when the writer cannot write', () => {
  it('a database that cannot be opened refuses to start', async (t) => {
    const dataDir = temporaryDirectory(t);
    const db = openDatabase(dataDir);
    db.sqlite.pragma('user_version = 99');
    db.close();
    await assert.rejects(startWriter({ dataDir }), refused('newer_schema'));
  });

  it('a lock held too long is busy, and the next command gets through', async (t) => {
    const { writer, dataDir } = await start(t, { busyTimeoutMs: 30 });
    using other = openDatabase(dataDir);
    other.sqlite.exec('begin immediate');
    await assert.rejects(writer.write('createRollout', { mode: 'train' }), refused('busy'));
    other.sqlite.exec('commit');
    await writer.write('createRollout', { mode: 'train' });
  });

  it('the death of the thread is reported, and every waiting and later command fails', async (t) => {
    const dataDir = temporaryDirectory(t);
    const worker = startThread({ dataDir });
    const failures: StoreError[] = [];
    const writer = connectWriter(worker, await whenReady(worker), { onFailure: (error) => { failures.push(error); } });
    using other = openDatabase(dataDir);
    other.sqlite.exec('begin immediate'); // so that the command is still waiting when the thread ends
    const waiting = assert.rejects(writer.write('createRollout', { mode: 'train' }), refused('writer_failed'));
    await worker.terminate();
    other.sqlite.exec('commit');
    await waiting;
    assert.deepEqual(failures.map((error) => error.code), ['writer_failed']);
    assert.throws(() => writer.write('createRollout', { mode: 'train' }), refused('writer_failed'));
    await writer.close();
  });
});
