import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { watchChanges } from '../../store/changes.ts';
import { openDatabase } from '../../store/open.ts';
import { createRollout, listRollouts } from '../../store/rollouts.ts';
import { startWriter } from '../../store/writer.ts';
import { temporaryDatabase, temporaryDirectory } from './temporary.ts';

/** Runs module text in another process with `openDatabase`, `createRollout` and `dataDir` in scope. */
function otherProcess(dataDir: string, body: string) {
  const store = new URL('../../store/', import.meta.url);
  const script = `
    import { openDatabase } from ${JSON.stringify(new URL('open.ts', store).href)};
    import { createRollout, listRollouts } from ${JSON.stringify(new URL('rollouts.ts', store).href)};
    const dataDir = ${JSON.stringify(dataDir)};
    ${body}`;
  return spawn(process.execPath, ['--input-type=module', '-e', script], { cwd: fileURLToPath(store), stdio: ['ignore', 'pipe', 'inherit'] });
}

describe('watchChanges', () => {
  it('wakes once at the start, and then for what another process commits', { timeout: 20_000 }, async (t) => {
    const db = temporaryDatabase(t, {});
    const stop = new AbortController();
    const seen: number[] = [];
    for await (const _ of watchChanges(db, 5, stop.signal)) {
      const count = listRollouts(db).items.length;
      seen.push(count);
      if (seen.length === 1) otherProcess(db.dataDir, 'createRollout(openDatabase(dataDir), { mode: "train" });');
      if (count === 1) stop.abort();
    }
    assert.deepEqual([seen[0], seen.at(-1)], [0, 1]);
  });

  it('sleeps while nothing is committed, and ends at once when told to', { timeout: 20_000 }, async (t) => {
    const db = temporaryDatabase(t);
    const stop = new AbortController();
    let wakes = 0;
    const watching = (async () => { for await (const _ of watchChanges(db, 1, stop.signal)) wakes++; })();
    await sleep(50);
    assert.equal(wakes, 1);
    createRollout(db, { mode: 'train' }); // its own commits are no news to it
    await sleep(50);
    assert.equal(wakes, 1);
    using other = openDatabase(db.dataDir);
    createRollout(other, { mode: 'train' });
    await sleep(50);
    assert.equal(wakes, 2);
    stop.abort();
    await watching;
  });
});

describe('two processes on one database', () => {
  it('a process that holds the lock for long makes the writer wait, not fail; a reader is never stopped', { timeout: 30_000 }, async (t) => {
    const dataDir = temporaryDirectory(t);
    await using writer = await startWriter({ dataDir });
    using reader = openDatabase(dataDir, { readonly: true });
    const trainer = otherProcess(dataDir, `
      const db = openDatabase(dataDir);
      process.stdout.write('ready');
      for (let i = 0; i < 10; i++) db.write(() => {
        createRollout(db, { mode: 'val' });
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30);
      });
      process.stdout.write(String(listRollouts(db, { mode: 'val' }).items.length));`);
    await once(trainer.stdout, 'data');
    const exited = once(trainer, 'exit');
    let written = 0;
    let lastCount = 0;
    while (trainer.exitCode === null) {
      await Promise.all([1, 2, 3].map(() => writer.write('createRollout', { mode: 'train' })));
      written += 3;
      const started = performance.now();
      const count = listRollouts(reader, { mode: 'train', limit: 100_000 }).items.length;
      assert.ok(count >= written && count >= lastCount, `${count} read of ${written} written`);
      assert.ok(performance.now() - started < 1000);
      lastCount = count;
    }
    assert.deepEqual(await exited, [0, null]);
    assert.equal(listRollouts(reader, { mode: 'val' }).items.length, 10);
    assert.ok(written > 0);
  });
});
