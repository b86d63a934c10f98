import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { vllmBackendSchema } from '../../../../config/schema.ts';
import { startVllm } from '../../../../proxy/backends/vllm/start.ts';
import type { VllmBackend } from '../../../../proxy/backends/vllm/backend.ts';
import { ApiError } from '../../../../proxy/errors.ts';
import { createLog } from '../../../../proxy/log.ts';
import { until } from '../../harness.ts';
import { chatCall, outcome, type Outcome } from '../answers.ts';
import { FakeVllm, tokensOf, type Fault } from './fake-vllm.ts';

const never = new AbortController().signal;
const body = { model: 'smollm2', messages: [{ role: 'user', content: 'Name three colors.' }], temperature: 1, max_tokens: 24 };

interface Setup extends AsyncDisposable {
  readonly servers: readonly FakeVllm[];
  readonly backend: VllmBackend;
  chat(more?: Record<string, unknown>, rollout?: string, version?: number | null): Promise<Outcome>;
  /** A published adapter whose weights are a number. */
  publish(version: number, weights?: number): { version: number; kind: 'adapter'; directory: string };
  /** How many replicas take calls. */
  ready(): Promise<number | undefined>;
}

async function connect(replicas = 1, config: object = {}): Promise<Setup> {
  const home = mkdtempSync(join(tmpdir(), 'fulgurite-vllm-'));
  const servers = await Promise.all(Array.from({ length: replicas }, () => FakeVllm.start()));
  const backend = await startVllm(vllmBackendSchema.parse({ kind: 'vllm', baseUrls: servers.map(({ baseUrl }) => baseUrl), healthMs: 20, ...config }), createLog('silent'));
  const ready = async () => (await backend.stats())['replicas_ready'];
  await until(async () => await ready() === replicas);
  return {
    servers, backend, ready,
    chat: async (more = {}, rollout = 'ro_test', version = null) => outcome(await backend.chat(chatCall({ ...body, ...more }, { rollout, version }), never)),
    publish(version, weights = version) {
      const directory = join(home, String(version));
      mkdirSync(directory);
      writeFileSync(join(directory, 'adapter_model.safetensors'), String(weights));
      writeFileSync(join(directory, 'policy.json'), JSON.stringify({ files: { 'adapter_model.safetensors': `${weights}`.repeat(12) } }));
      return { version, kind: 'adapter', directory };
    },
    async [Symbol.asyncDispose]() {
      await backend.close();
      for (const server of servers) await server[Symbol.asyncDispose]();
      rmSync(home, { recursive: true });
    },
  };
}

/** A promise and what fulfils it. */
function gate(): { readonly held: Promise<void>; readonly open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { held: promise, open: resolve };
}

/** The weights that made an answer, by its token ids, and the version that it is recorded under. */
const madeBy = ({ kept }: Outcome) => ({ ids: kept[0]?.ids, versions: [...new Set(kept[0]?.versions)] });
const only = (version: number) => ({ ids: tokensOf(version), versions: [version] });

const chatFault = (fault: Fault) => ({ path, body }: { path: string; body: Record<string, unknown> }): Fault | null =>
  (path === '/v1/chat/completions' && body['max_tokens'] !== 1 ? fault : null);

test('a version is another adapter on the server and the same model for the client', async () => {
  await using setup = await connect();
  const [server] = setup.servers;
  assert.ok(server);
  assert.deepEqual(madeBy(await setup.chat()), only(0));
  await setup.backend.loadPolicy(setup.publish(1));
  assert.deepEqual(madeBy(await setup.chat()), only(0), 'loaded is not current');
  await setup.backend.setCurrent(1);
  for (const stream of [false, true]) {
    const seen = await setup.chat({ stream });
    assert.deepEqual(madeBy(seen), only(1));
    for (const wire of seen.body === null ? seen.chunks : [seen.body]) assert.equal(wire['model'], 'smollm2');
  }
  assert.deepEqual(server.chats.map((asked) => asked.body['model']), ['smollm2', 'smollm2', ...server.adapters.keys(), ...server.adapters.keys()]);
  assert.deepEqual((await setup.backend.models()).map(({ id }) => id), ['smollm2']);
  assert.deepEqual(madeBy(await setup.chat({}, 'ro_pinned', 0)), only(0));
});

test('a name is of one version and one set of weights', async () => {
  await using setup = await connect();
  const asked = async (version: number, weights: number) => {
    const policy = setup.publish(version, weights);
    await setup.backend.loadPolicy(policy);
    await setup.backend.unloadPolicy(version);
    rmSync(policy.directory, { recursive: true });
    return setup.servers[0]?.asked.at(-1)?.body['lora_name'];
  };
  assert.deepEqual([await asked(1, 7), await asked(2, 7), await asked(1, 8), await asked(1, 7)], ['fulgurite-1-777777777777', 'fulgurite-2-777777777777', 'fulgurite-1-888888888888', 'fulgurite-1-777777777777']);
});

test('a stream ends on its version, and the version is unloaded after it', async () => {
  await using setup = await connect();
  const [server] = setup.servers;
  await setup.backend.loadPolicy(setup.publish(1));
  await setup.backend.setCurrent(1);
  const middle = gate();
  assert.ok(server);
  server.held = middle.held;
  const running = setup.chat({ stream: true });
  await until(() => server.chats.length === 1);
  server.held = Promise.resolve();
  await setup.backend.loadPolicy(setup.publish(2));
  await setup.backend.setCurrent(2);
  let isUnloaded = false;
  const unloading = setup.backend.unloadPolicy(1).finally(() => { isUnloaded = true; });
  assert.deepEqual(madeBy(await setup.chat()), only(2));
  assert.equal(isUnloaded, false);
  assert.equal(server.adapters.size, 2);
  middle.open();
  assert.deepEqual(madeBy(await running), only(1));
  await unloading;
  assert.deepEqual([...server.adapters.values()], [2]);
});

test('a version that is wanted again while it waits for its end stays', async () => {
  await using setup = await connect();
  const [server] = setup.servers;
  assert.ok(server);
  await setup.backend.loadPolicy(setup.publish(1));
  await setup.backend.setCurrent(1);
  const middle = gate();
  server.held = middle.held;
  const running = setup.chat({ stream: true });
  await until(() => server.chats.length === 1);
  server.held = Promise.resolve();
  await setup.backend.setCurrent(0);
  const unloading = setup.backend.unloadPolicy(1);
  await setup.backend.loadPolicy({ version: 1, kind: 'adapter', directory: String(server.asked.find(({ path }) => path.endsWith('/load_lora_adapter'))?.body['lora_path']) });
  await setup.backend.setCurrent(1);
  middle.open();
  await Promise.all([running, unloading]);
  assert.deepEqual(madeBy(await setup.chat()), only(1));
});

test('an adapter that a server refuses is nowhere, and says why', async () => {
  await using setup = await connect(2);
  const [first, second] = setup.servers;
  assert.ok(first && second);
  second.fault = ({ path }) => (path.endsWith('/load_lora_adapter') ? { kind: 'status', status: 500, message: 'LoRA rank 32 is greater than max_lora_rank 16.' } : null);
  await assert.rejects(setup.backend.loadPolicy(setup.publish(1)), (error) => error instanceof ApiError && error.status === 409 && error.message.includes('greater than max_lora_rank'));
  assert.deepEqual([first.adapters.size, second.adapters.size], [0, 0]);
  await assert.rejects(setup.backend.setCurrent(1), /not loaded/);
  await assert.rejects(setup.backend.loadPolicy({ version: 3, kind: 'full', directory: '/nowhere' }), /only adapters/);
  assert.deepEqual(madeBy(await setup.chat()), only(0));
});

test('a version is loaded when every replica that takes calls has it, and a replica that returns gets it first', async () => {
  await using setup = await connect(3);
  const [first, second, third] = setup.servers;
  assert.ok(first && second && third);
  await third.kill();
  await until(async () => await setup.ready() === 2);
  const slow = gate();
  second.held = slow.held;
  let isLoaded = false;
  const loading = setup.backend.loadPolicy(setup.publish(1)).finally(() => { isLoaded = true; });
  await until(() => first.adapters.size === 1);
  assert.equal(isLoaded, false, 'one replica has it, the other not yet');
  slow.open();
  await loading;
  await setup.backend.setCurrent(1);

  const late = gate();
  third.held = late.held;
  await third.restart();
  await until(() => third.asked.some(({ path }) => path.endsWith('/load_lora_adapter')));
  for (let call = 0; call < 6; call++) assert.deepEqual(madeBy(await setup.chat({}, `ro_${call}`)), only(1));
  assert.equal(third.chats.length, 0, 'takes no call before it has the version');
  late.open();
  await until(async () => await setup.ready() === 3);
  for (let call = 6; call < 12; call++) assert.deepEqual(madeBy(await setup.chat({}, `ro_${call}`)), only(1));
  assert.ok(third.chats.length > 0);
});

test('a server that was restarted between two checks fails no call', async () => {
  await using setup = await connect(2, { healthMs: 3_600_000 });
  await setup.backend.loadPolicy(setup.publish(1));
  await setup.backend.setCurrent(1);
  const [first] = setup.servers;
  first?.adapters.clear();
  for (let call = 0; call < 4; call++) assert.deepEqual(madeBy(await setup.chat({}, `ro_${call}`)), only(1));
  // It was looked after at once, and has its policy again.
  await until(() => first?.adapters.size === 1);
});

test('calls of one rollout stay on one replica, others go where fewest are open', async () => {
  await using setup = await connect(3);
  for (let turn = 0; turn < 4; turn++) await setup.chat({}, 'ro_one');
  assert.deepEqual(setup.servers.map(({ chats }) => chats.length).sort((a, b) => a - b), [0, 0, 4]);
  const open = gate();
  for (const server of setup.servers) server.held = open.held;
  const calls = Array.from({ length: 12 }, (_, call) => setup.chat({}, `ro_${call}`));
  await until(() => setup.servers.reduce((sum, { chats }) => sum + chats.length, 0) === 16);
  assert.deepEqual(setup.servers.map(({ open: running }) => running), [4, 4, 4]);
  open.open();
  await Promise.all(calls);
  assert.equal((await setup.backend.stats())['requests_running'], 0);
});

for (const [what, fault] of [
  ['resets the connection', { kind: 'reset' }],
  ['answers 500', { kind: 'status', status: 500, message: 'EngineCore encountered an issue.' }],
  ['answers 503', { kind: 'status', status: 503, message: 'Service Unavailable' }],
] as const) {
  test(`a replica that ${what} before the first byte: another one answers`, async () => {
    await using setup = await connect(2);
    const [first, second] = setup.servers;
    assert.ok(first && second);
    first.fault = chatFault(fault);
    for (const stream of [false, true]) for (let call = 0; call < 3; call++) assert.deepEqual(madeBy(await setup.chat({ stream }, `ro_${call}`)), only(0));
    assert.ok(first.chats.length > 0 && second.chats.length === 6);
    second.fault = chatFault(fault);
    await assert.rejects(setup.chat(), (error) => error instanceof ApiError && error.status >= 500);
    assert.equal((await setup.backend.stats())['requests_running'], 0);
  });
}

test('a server that hangs is given up, and the calls that wait for it go to another one', async () => {
  await using setup = await connect(2);
  const [first, second] = setup.servers;
  assert.ok(first && second);
  await setup.chat({}, 'ro_first');
  const [hung, other] = first.chats.length === 1 ? [first, second] : [second, first];
  hung.fault = chatFault({ kind: 'hang' });
  const waiting = setup.chat({ stream: true }, 'ro_first');
  await until(() => hung.chats.length === 2);
  hung.fault = ({ path }) => (path === '/health' ? { kind: 'status', status: 503, message: 'The engine is dead.' } : null);
  assert.deepEqual(madeBy(await waiting), only(0));
  assert.equal(other.chats.length, 1);
});

test('what is the client\'s mistake is answered once, and an answer that has begun is not asked for again', async () => {
  await using setup = await connect(2);
  const [first, second] = setup.servers;
  assert.ok(first && second);
  for (const server of setup.servers) server.fault = chatFault({ kind: 'status', status: 400, message: 'temperature must be non-negative' });
  await assert.rejects(setup.chat({ temperature: -1 }), (error) => error instanceof ApiError && error.status === 400);
  assert.equal(first.chats.length + second.chats.length, 1);
  await assert.rejects(setup.chat({ model: 'nope' }), (error) => error instanceof ApiError && error.status === 404 && error.message.includes('nope'));
  assert.equal(first.chats.length + second.chats.length, 1);

  for (const server of setup.servers) {
    server.fault = () => null;
    server.held = new Promise(() => {});
  }
  const running = setup.chat({ stream: true }, 'ro_cut');
  await until(() => first.chats.length + second.chats.length === 2);
  const failing = assert.rejects(running, (error) => error instanceof ApiError && error.status === 502);
  await (first.chats.length > second.chats.length || first.open > second.open ? first : second).kill();
  await failing;
  assert.equal(first.chats.length + second.chats.length, 2);
});

test('without a server that takes calls: 503 with retry-after, and not ready', async () => {
  await using setup = await connect();
  const [server] = setup.servers;
  assert.ok(server);
  server.isWell = false;
  await until(async () => await setup.ready() === 0);
  await assert.rejects(setup.chat(), (error) => error instanceof ApiError && error.status === 503 && error.retryAfter === 1);
  const health = await setup.backend.health();
  assert.equal(health.ok, false);
  assert.match(health.detail, /health answers 503/);
  server.isWell = true;
  await until(async () => await setup.ready() === 1);
  assert.deepEqual(madeBy(await setup.chat()), only(0));
});

test('a call that is aborted while it waits gives back what it held', async () => {
  await using setup = await connect();
  const [server] = setup.servers;
  assert.ok(server);
  server.fault = chatFault({ kind: 'hang' });
  const controller = new AbortController();
  const gone = new Error('gone');
  const call = setup.backend.chat(chatCall(body), controller.signal);
  await until(() => server.chats.length === 1);
  controller.abort(gone);
  await assert.rejects(call, gone);
  assert.equal((await setup.backend.stats())['requests_running'], 0);
  await until(() => server.open === 0);
});
