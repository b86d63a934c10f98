import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { acquireLock } from '../../store/lock.ts';

await test('one process at a time holds a lock; the next gets it when that one gives it back or is killed', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'fulgurite-lock-'));
  t.after(() => { rmSync(directory, { recursive: true, force: true }); });
  const never = new AbortController().signal;
  let waits = 0;
  const acquire = (signal: AbortSignal) => acquireLock(directory, 'trainer', signal, () => { waits++; });

  const first = await acquire(never);
  assert.ok(first);
  assert.equal(await acquire(AbortSignal.timeout(120)), null, 'it is held');
  assert.equal(waits, 1);
  const second = acquire(never);
  first[Symbol.dispose]();
  (await second)?.[Symbol.dispose]();
  assert.equal(waits, 2);

  const script = `
    import { acquireLock } from ${JSON.stringify(new URL('../../store/lock.ts', import.meta.url).href)};
    const lock = await acquireLock(process.argv.at(-1), 'trainer', new AbortController().signal, () => {});
    console.log('held');
    setInterval(() => lock, 1000);`;
  const holder = spawn(process.execPath, ['--input-type=module-typescript', '-e', script, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(holder.stdout, 'data');
  assert.equal(await acquire(AbortSignal.timeout(120)), null);
  holder.kill('SIGKILL');
  const third = await acquire(AbortSignal.timeout(5000));
  assert.ok(third);
  third[Symbol.dispose]();
  assert.equal(statSync(join(directory, 'trainer.lock')).size, 0);
});
