/** The database cannot be written: calls are held, then refused before they cost anything, or answered without capture where that is configured. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { databaseFileName, openDatabase } from '../../../store/open.ts';
import { listSteps } from '../../../store/steps.ts';
import { events, startHarness, tempDir, until } from '../harness.ts';
import { serverScript, startProcess, type ServerProcess } from './process.ts';

interface ErrorBody { readonly error: { readonly code: string } }

const codeOf = async (response: Response): Promise<string> => (await response.json() as ErrorBody).error.code;
const metric = async (url: string, name: string): Promise<number> =>
  Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(await (await fetch(`${url}/metrics`)).text())?.[1]);

/** Holds the database's lock, as another program might. */
function block(dataDir: string): Disposable {
  const blocker = openDatabase(dataDir);
  blocker.sqlite.exec('begin immediate');
  return { [Symbol.dispose]: () => { blocker.close(); } };
}

describe('a database that another process locks', () => {
  test('for a moment: nobody notices, and every call has its step', async () => {
    await using h = await startHarness();
    {
      using _ = block(h.dataDir);
      const [plain, streamed] = await Promise.all([false, true].map((stream) => h.chat('x', { stream })));
      assert.equal(plain?.status, 200);
      assert.match(await streamed?.text() ?? '', /\[DONE\]/);
    }
    assert.deepEqual((await h.steps()).map((step) => step.state), ['complete', 'complete']);
  });

  test('for a moment, commits being waited for: calls wait, then have their answer and their step', async () => {
    await using h = await startHarness({ store: { durability: 'power' } });
    let answered = 0;
    let calls;
    {
      using _ = block(h.dataDir);
      calls = [false, true].map((stream) => h.chat('x', { stream }).then(async (response) => {
        const text = await response.text();
        answered++;
        return [response.status, text] as const;
      }));
      await until(() => h.backend.calls.length === 2);
      await new Promise((resolve) => { setTimeout(resolve, 300); });
      assert.equal(answered, 0, 'nobody is told the end of an answer that is not stored');
    }
    const [plain, streamed] = await Promise.all(calls);
    assert.equal(plain?.[0], 200);
    assert.match(streamed?.[1] ?? '', /\[DONE\]/);
    assert.deepEqual((await h.steps()).map((step) => step.state), ['complete', 'complete']);
  });

  test('for longer: 503 with retry-after, before the policy is asked; then served again, with all that was answered', async () => {
    await using h = await startHarness({ store: { busyTimeoutMs: 300 } });
    {
      using _ = block(h.dataDir);
      assert.equal((await h.chat('x')).status, 200, 'the journal has it');
      await until(async () => (await h.get('/readyz')).status === 503);
      for (const stream of [false, true]) {
        const refused = await h.chat('x', { stream });
        assert.deepEqual([refused.status, refused.headers.get('retry-after'), await codeOf(refused)], [503, '1', 'busy']);
      }
      assert.equal(h.backend.calls.length, 1, 'no answer is asked for that would be withheld');
    }
    await until(async () => (await h.get('/readyz')).status === 200);
    assert.equal((await h.chat('x')).status, 200);
    assert.deepEqual((await h.steps()).map((step) => step.state), ['complete', 'complete']);
    assert.deepEqual(h.log.filter((line) => line.includes('locked') || line.includes('again')).length, 2, 'said once, and its end once');
  });

  test('for longer, commits being waited for: the held calls get 503', async () => {
    await using h = await startHarness({ store: { busyTimeoutMs: 300, durability: 'power' } });
    {
      using _ = block(h.dataDir);
      const [plain, streamed] = await Promise.all([h.chat('x'), h.chat('x', { stream: true })]);
      assert.deepEqual([plain.status, plain.headers.get('retry-after'), await codeOf(plain)], [503, '1', 'busy']);
      const frames = await events(streamed);
      assert.ok(!frames.includes('[DONE]'));
      assert.equal((JSON.parse(frames.at(-1) ?? '') as ErrorBody).error.code, 'busy');
      assert.equal(h.backend.calls.length, 2);
    }
    assert.equal((await h.chat('x')).status, 200);
    assert.deepEqual((await h.steps()).map((step) => step.state), ['complete']);
  });

  test('while a call runs that was opened before: its step does not stay open', async () => {
    await using h = await startHarness({ store: { busyTimeoutMs: 200 } });
    const call = h.chat(`!slow ${'x'.repeat(100)}`, { stream: true }).then(events);
    await until(async () => (await h.steps()).length === 1);
    {
      using _ = block(h.dataDir);
      assert.equal((await h.chat('x')).status, 200);
      await until(async () => (await h.get('/readyz')).status === 503);
      assert.equal((JSON.parse((await call).at(-1) ?? '') as ErrorBody).error.code, 'busy');
    }
    await until(async () => (await h.chat('x')).status === 200);
    await until(async () => (await h.steps())[0]?.state === 'crashed');
    assert.match((await h.steps())[0]?.error ?? '', /could not be written/);
  });

  test('with whenUnwritable "serve": answers, counted and not recorded', async () => {
    await using h = await startHarness({ store: { busyTimeoutMs: 200, whenUnwritable: 'serve', durability: 'power' } });
    const blocker = openDatabase(h.dataDir);
    blocker.sqlite.exec('begin immediate');
    for (const stream of [false, true, false]) {
      const response = await h.chat('x', { stream });
      assert.equal(response.status, 200);
      assert.match(await response.text(), stream ? /\[DONE\]/ : /echo: x/);
    }
    assert.equal((await h.chat('x')).headers.get('x-fulgurite-captured'), 'false');
    assert.equal((await h.chat('!refuse x')).status, 400, 'its own errors stay what they are');
    assert.equal((await h.get('/readyz')).status, 200);
    blocker.sqlite.exec('commit');
    blocker.close();
    assert.equal(await metric(h.url, 'fulgurite_uncaptured_calls_total'), 5);
    assert.equal((await h.steps()).length, 0);
    assert.notEqual((await h.chat('x')).headers.get('x-fulgurite-step'), null);
    assert.equal((await h.steps()).length, 1);
  });
});

/** Linux lets a file-size limit be set on a running process: to SQLite it is a disk without room, and lifting it is room again. */
const canLimit = spawnSync('prlimit', ['--version']).status === 0;

function limitFiles({ child }: ServerProcess, bytes: number | 'unlimited'): void {
  const { status, stderr } = spawnSync('prlimit', ['--pid', String(child.pid), `--fsize=${bytes}:unlimited`], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
}

test('a disk that is full: held, refused, and served again when there is room', { skip: !canLimit && 'prlimit is needed' }, async () => {
  const dataDir = tempDir();
  {
    await using server = await startProcess({ dataDir, server: { port: 0 }, store: { busyTimeoutMs: 400, durability: 'power' } });
    assert.equal((await server.chat('before')).status, 200);
    limitFiles(server, statSync(join(dataDir, `${databaseFileName}-wal`)).size);
    const [held, later] = [await server.chat('full'), await server.chat('full', { stream: true })];
    for (const refused of [held, later]) {
      assert.deepEqual([refused.status, refused.headers.get('retry-after')], [503, '1']);
      assert.match(await codeOf(refused), /^(disk_full|io_error)$/);
    }
    assert.equal((await fetch(`${server.url}/healthz`)).status, 200, 'it lives');

    // Room again while a call is held: that call does not notice.
    limitFiles(server, 'unlimited');
    assert.equal((await server.chat('room')).status, 200);
    limitFiles(server, statSync(join(dataDir, `${databaseFileName}-wal`)).size);
    const waiting = server.chat('held');
    await new Promise((resolve) => { setTimeout(resolve, 150); });
    limitFiles(server, 'unlimited');
    assert.equal((await waiting).status, 200);
  }
  using db = openDatabase(dataDir);
  assert.equal(db.sqlite.pragma('integrity_check', { simple: true }), 'ok');
  assert.deepEqual(listSteps(db, { order: 'oldest' }).items.map((step) => step.state), ['complete', 'complete', 'complete']);
  rmSync(dataDir, { recursive: true });
});

test('a disk that is full to the journal too: what was answered is kept, the rest is held, refused, and served again', { skip: !canLimit && 'prlimit is needed' }, async () => {
  const dataDir = tempDir();
  let answered = 0;
  {
    await using server = await startProcess({ dataDir, server: { port: 0 }, store: { busyTimeoutMs: 400 } });
    const wal = join(dataDir, `${databaseFileName}-wal`);
    const tryOnce = async (): Promise<Response> => {
      const response = await server.chat('x'.repeat(2000));
      if (response.status === 200) answered++;
      return response;
    };
    await tryOnce();
    await fetch(`${server.url}/admin/rollouts`); // it is committed now
    limitFiles(server, statSync(wal).size);
    let refused: Response;
    do refused = await tryOnce(); while (refused.status === 200);
    assert.deepEqual([refused.status, refused.headers.get('retry-after')], [503, '1']);
    assert.match(await codeOf(refused), /^(disk_full|io_error)$/);
    limitFiles(server, 'unlimited');
    await until(async () => (await fetch(`${server.url}/readyz`)).status === 200);
    assert.equal((await tryOnce()).status, 200);
  }
  using db = openDatabase(dataDir);
  assert.equal(listSteps(db, { state: 'complete', limit: 10_000 }).items.length, answered);
  rmSync(dataDir, { recursive: true });
});

/** Root may write anything: then it is somebody else who starts the server, if he may read it. */
const nobody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
const mayStart = spawnSync(process.execPath, ['--check', serverScript], nobody).status === 0;

test('a data directory that cannot be written: no server that could not record', { skip: !mayStart && 'the sources must be readable for all' }, () => {
  const dataDir = tempDir();
  openDatabase(dataDir).close();
  chmodSync(join(dataDir, databaseFileName), 0o444);
  chmodSync(dataDir, 0o555);
  const { status, stderr } = spawnSync(process.execPath, [serverScript, JSON.stringify({ dataDir, server: { port: 0 } })], { encoding: 'utf8', ...nobody });
  assert.notEqual(status, 0);
  assert.match(stderr, /This user may not write in the data directory/);
  chmodSync(dataDir, 0o755);
  rmSync(dataDir, { recursive: true });
});
