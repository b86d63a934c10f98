import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { StoreError } from '../../store/errors.ts';
import { HeldCommits } from '../../store/held-commits.ts';
import { openDatabase } from '../../store/open.ts';
import { listRollouts } from '../../store/rollouts.ts';
import type { OpenStep } from '../../store/step-writes.ts';
import { listSteps } from '../../store/steps.ts';
import { startWriter, type StoreWriter } from '../../store/writer.ts';
import { completeStep, openStep } from './rows.ts';
import { temporaryDirectory } from './temporary.ts';

/** A writer, and every change of whether it can write. */
async function start(t: TestContext, busyTimeoutMs: number): Promise<{ writer: StoreWriter; dataDir: string; changes: (string | null)[] }> {
  const dataDir = temporaryDirectory(t);
  const changes: (string | null)[] = [];
  const writer = await startWriter({ dataDir, busyTimeoutMs, onUnwritable: (error) => { changes.push(error?.code ?? null); } });
  t.after(() => writer.close());
  return { writer, dataDir, changes };
}

const outcomes = async (writes: readonly Promise<unknown>[]): Promise<string[]> =>
  (await Promise.allSettled(writes)).map((outcome) => (outcome.status === 'fulfilled' ? 'ok' : (outcome.reason as StoreError).code)); // the writer rejects with nothing else

describe('a database that is locked', () => {
  it('for a while: writes are held, and none is lost or done twice', async (t) => {
    const { writer, dataDir, changes } = await start(t, 10_000);
    using other = openDatabase(dataDir);
    other.sqlite.exec('begin immediate');
    const writes = Array.from({ length: 20 }, (_, i) => writer.write('createRollout', { id: `ro_${i}`, mode: 'train' }));
    await new Promise((resolve) => { setTimeout(resolve, 400); }); // several tries
    other.sqlite.exec('commit');
    assert.deepEqual(new Set(await outcomes(writes)), new Set(['ok']));
    assert.equal(listRollouts(other, { limit: 100 }).items.length, 20);
    assert.deepEqual(changes, []);
  });

  it('for longer: held ones fail, later ones are not held, and it is over when the lock is', async (t) => {
    const { writer, dataDir, changes } = await start(t, 600);
    using other = openDatabase(dataDir);
    other.sqlite.exec('begin immediate');
    assert.deepEqual(await outcomes([writer.write('createRollout', { mode: 'train' })]), ['busy']);
    assert.equal(writer.stats().unwritable?.code, 'busy');
    const startedAt = performance.now();
    assert.deepEqual(await outcomes([writer.write('createRollout', { mode: 'train' })]), ['busy']);
    assert.ok(performance.now() - startedAt < 500, 'one try');
    other.sqlite.exec('commit');
    assert.deepEqual(await outcomes([writer.write('createRollout', { mode: 'train' })]), ['ok']);
    assert.equal(writer.stats().unwritable, null);
    assert.deepEqual(changes, ['busy', null]);
  });

  it('for longer than what was acknowledged could be held: that stays, what comes then is awaited and fails, and it goes first afterwards', async (t) => {
    const { writer, dataDir, changes } = await start(t, 300);
    const started = await writer.write('createRollout', { mode: 'train' });
    const [acknowledged, failed, later] = [openStep(started), openStep(started), openStep(started)];
    using other = openDatabase(dataDir);
    other.sqlite.exec('begin immediate');
    const record = (step: OpenStep) => Promise.all([writer.record('openSteps', [step]), writer.record('completeSteps', [completeStep(step.id)])]);
    await record(acknowledged);
    await writer.settled(); // or until nothing is taken
    assert.equal(writer.stats().unwritable?.code, 'busy');
    await assert.rejects(record(failed), (error) => error instanceof StoreError && error.code === 'busy');
    assert.equal(writer.stats().ahead.entries, 2);
    other.sqlite.exec('commit');
    while (writer.stats().unwritable !== null) await new Promise((resolve) => { setTimeout(resolve, 10); }); // by itself
    await record(later);
    await writer.settled();
    assert.deepEqual(listSteps(other, { order: 'oldest' }).items.map(({ id, state }) => [id, state]), [[acknowledged.id, 'complete'], [later.id, 'complete']]);
    assert.deepEqual(changes, ['busy', null]);
  });
});

it('a database that is read-only: held like a locked one', (t) => {
  const dataDir = temporaryDirectory(t);
  openDatabase(dataDir).close();
  using db = openDatabase(dataDir, { readonly: true });
  const held = new HeldCommits(db, 60);
  const startedAt = performance.now();
  const [outcome] = held.commit([{ id: 1, name: 'createRollout', argument: { mode: 'train' } }]);
  assert.equal(outcome?.ok === false && outcome.error.code, 'read_only');
  assert.ok(performance.now() - startedAt >= 60);
});
