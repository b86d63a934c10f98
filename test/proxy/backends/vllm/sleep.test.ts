/** One accelerator for servers and trainer: who has it when, with the trainer's half for real. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { configSchema } from '../../../../config/schema.ts';
import { createLog } from '../../../../proxy/log.ts';
import { startProxy } from '../../../../proxy/main.ts';
import { acceleratorState, setAcceleratorState } from '../../../../store/accelerator.ts';
import { openDatabase, type Database } from '../../../../store/open.ts';
import { listSteps } from '../../../../store/steps.ts';
import { borrowAccelerator, type Borrowing } from '../../../../trainer/accelerator.ts';
import { goldenPath } from '../../../trainer/golden.ts';
import { tempDir, until } from '../../harness.ts';
import { FakeVllm } from './fake-vllm.ts';

async function start() {
  const home = tempDir();
  const servers = [await FakeVllm.start(), await FakeVllm.start()];
  const config = configSchema.parse({ dataDir: join(home, 'data'), server: { port: 0 }, backend: { kind: 'vllm', baseUrls: servers.map(({ baseUrl }) => baseUrl), healthMs: 20, sleepWhileTraining: true, model: goldenPath('models/llama-tied') } });
  const proxy = await startProxy(config, { env: {}, log: createLog('silent') });
  const db = openDatabase(config.dataDir);
  await until(async () => (await proxy.backend.stats?.())?.['replicas_ready'] === 2);
  return {
    servers, proxy, db,
    ask: (signal?: AbortSignal) => fetch(`${proxy.url}/v1/chat/completions`, { method: 'POST', body: JSON.stringify({ model: 'smollm2', messages: [{ role: 'user', content: 'x' }] }), ...(signal === undefined ? {} : { signal }) }),
    async [Symbol.asyncDispose]() {
      db.close();
      await proxy.close(0);
      for (const server of servers) await server[Symbol.asyncDispose]();
      rmSync(home, { recursive: true });
    },
  };
}

const borrowing = (db: Database, signal = new AbortController().signal): Borrowing => ({ db, pollMs: 10, signal, free: () => Promise.resolve() });

test('the trainer gets the accelerator when calls have ended and every server sleeps; calls wait until it is given back', async () => {
  await using setup = await start();
  const middle = Promise.withResolvers<void>();
  for (const server of setup.servers) server.held = middle.promise;
  const running = setup.ask();
  await until(() => setup.servers.some(({ chats }) => chats.length === 1));
  let isBorrowed = false;
  const borrowed = borrowAccelerator(borrowing(setup.db)).finally(() => { isBorrowed = true; });
  await until(async () => (await setup.proxy.backend.stats?.())?.['resting'] === 1);
  const waiting = setup.ask();
  await until(() => listSteps(setup.db).items.length === 2);
  assert.deepEqual([isBorrowed, ...setup.servers.map(({ sleepLevel }) => sleepLevel)], [false, 0, 0], 'nobody sleeps while a call runs');
  middle.resolve();
  assert.equal((await running).status, 200);
  const accelerator = await borrowed;
  assert.deepEqual(setup.servers.map(({ sleepLevel }) => sleepLevel), [1, 1]);
  assert.equal(setup.servers.reduce((sum, { chats }) => sum + chats.length, 0), 1, 'the second call waits');

  const leaving = new AbortController();
  const left = assert.rejects(setup.ask(leaving.signal));
  await until(() => listSteps(setup.db).items.length === 3);
  leaving.abort();
  await left;
  await until(() => listSteps(setup.db).items.some(({ state }) => state === 'client_aborted'));

  await accelerator[Symbol.asyncDispose]();
  assert.equal((await waiting).status, 200);
  assert.deepEqual(setup.servers.map(({ sleepLevel }) => sleepLevel), [0, 0]);
  assert.equal(acceleratorState(setup.db), 'serving');
});

test('where a server cannot sleep the trainer is refused and calls go on', async () => {
  await using setup = await start();
  const [, second] = setup.servers;
  assert.ok(second);
  second.fault = ({ path }) => (path.startsWith('/sleep') ? { kind: 'status', status: 500, message: 'Sleep mode is not enabled.' } : null);
  await assert.rejects(borrowAccelerator(borrowing(setup.db)), /could not be put to sleep/);
  assert.equal((await setup.ask()).status, 200);
  await until(() => setup.servers.every(({ sleepLevel }) => sleepLevel === 0));
});

test('a trainer that is told to end stops waiting', async () => {
  await using setup = await start();
  const middle = Promise.withResolvers<void>();
  for (const server of setup.servers) server.held = middle.promise;
  const running = setup.ask();
  await until(() => setup.servers.some(({ chats }) => chats.length === 1));
  const end = new AbortController();
  const refused = assert.rejects(borrowAccelerator(borrowing(setup.db, end.signal)), (error) => error instanceof Error && 'code' in error && error.code === 'stopped');
  await until(() => acceleratorState(setup.db) === 'wanted');
  end.abort();
  await refused;
  middle.resolve();
  assert.equal((await running).status, 200);
  assert.equal((await setup.ask()).status, 200);
  assert.throws(() => { setAcceleratorState(setup.db, 'training'); }, /cannot become training/);
});

test('a server without sleep mode takes no calls, and says what to do', async () => {
  await using server = await FakeVllm.start();
  server.fault = ({ path }) => (path === '/wake_up' ? { kind: 'status', status: 404, message: 'Not Found' } : null);
  const home = tempDir();
  const config = configSchema.parse({ dataDir: home, server: { port: 0 }, backend: { kind: 'vllm', baseUrls: [server.baseUrl], healthMs: 20, sleepWhileTraining: true, model: goldenPath('models/llama-tied') } });
  await using proxy = await startProxy(config, { env: {}, log: createLog('silent') });
  const ready = await fetch(`${proxy.url}/readyz`);
  assert.equal(ready.status, 503);
  assert.match(await ready.text(), /enable-sleep-mode/);
  rmSync(home, { recursive: true });
});
