/** Policies swapped under load, through the whole proxy: what clients saw, what was recorded, and what the servers hold afterwards. */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { configSchema } from '../../../../config/schema.ts';
import { createLog } from '../../../../proxy/log.ts';
import { startProxy, type Proxy } from '../../../../proxy/main.ts';
import { openDatabase, type Database } from '../../../../store/open.ts';
import { insertCandidate } from '../../../../store/policies.ts';
import { getStep, listSteps } from '../../../../store/steps.ts';
import { publishPolicy } from '../../../../trainer/publish.ts';
import { tempDir, until } from '../../harness.ts';
import { answerLength, FakeVllm, tokensOf } from './fake-vllm.ts';

const swaps = 20;
const clients = 8;

/** An adapter of the given weights, as the trainer publishes it. */
function publish(db: Database, version: number): void {
  const published = publishPolicy(db.dataDir, { version, kind: 'adapter', parentVersion: version - 1, roundId: 0, model: 'unknown', createdAt: 0 }, (directory) => {
    writeFileSync(join(directory, 'adapter_model.safetensors'), String(version));
  });
  insertCandidate(db, { version, kind: 'adapter', parentVersion: version - 1, roundId: null, ...published });
}

const promote = (proxy: Proxy, version: number) => fetch(`${proxy.url}/admin/policies/${version}/promote`, { method: 'POST', body: '{}' });

test(`${clients} clients stream through ${swaps} swaps on two replicas: nothing fails, every token's version is right`, async () => {
  const home = tempDir();
  await using first = await FakeVllm.start();
  await using second = await FakeVllm.start();
  const config = configSchema.parse({ dataDir: join(home, 'data'), server: { port: 0 }, backend: { kind: 'vllm', baseUrls: [first.baseUrl, second.baseUrl], healthMs: 20 } });
  await using proxy = await startProxy(config, { env: {}, log: createLog('silent') });
  using trainer = openDatabase(config.dataDir);
  await until(async () => (await proxy.backend.stats?.())?.['replicas_ready'] === 2);

  let swapped = 0;
  const client = async () => {
    // Each goes on for a call after the last swap.
    for (let after = 0; after < 2; after += Number(swapped === swaps)) {
      const response = await fetch(`${proxy.url}/v1/chat/completions`, { method: 'POST', body: JSON.stringify({ model: 'smollm2', messages: [{ role: 'user', content: 'x' }], stream: true, pace_ms: 1 }) });
      const text = await response.text();
      assert.match(text, /"finish_reason":"stop"[\s\S]*data: \[DONE\]\n\n$/);
      assert.doesNotMatch(text, /"error"|fulgurite-/);
    }
  };
  const load = Promise.all(Array.from({ length: clients }, client));
  for (; swapped < swaps; swapped++) {
    publish(trainer, swapped + 1);
    assert.equal((await promote(proxy, swapped + 1)).status, 200);
    const seen = listSteps(trainer).items.length;
    await until(() => listSteps(trainer, { limit: 1000 }).items.length > seen);
  }
  await load;

  const versions = new Set<number>();
  await proxy.settled();
  for (const { id } of listSteps(trainer, { limit: 10_000 }).items) {
    const step = getStep(trainer, id);
    assert.deepEqual([step?.state, step?.quarantineReason], ['complete', null]);
    const version = step?.versionSpans?.[0]?.version ?? -1;
    assert.deepEqual(step?.versionSpans, [{ version, from: 0, to: answerLength }]);
    assert.deepEqual([...step.completionIds ?? []], tokensOf(version));
    versions.add(version);
  }
  assert.ok(versions.has(0) && versions.has(swaps) && versions.size > 3, [...versions].join(' '));
  // The last call on a version took it along.
  await until(() => [first, second].every(({ adapters }) => [...adapters.values()].join() === String(swaps)));
  rmSync(home, { recursive: true });
});

test('a replica that dies under load takes only the answers along that it had begun, and comes back with the current version', async () => {
  const home = tempDir();
  await using first = await FakeVllm.start();
  await using second = await FakeVllm.start();
  const config = configSchema.parse({ dataDir: join(home, 'data'), server: { port: 0 }, backend: { kind: 'vllm', baseUrls: [first.baseUrl, second.baseUrl], healthMs: 20 } });
  await using proxy = await startProxy(config, { env: {}, log: createLog('silent') });
  using trainer = openDatabase(config.dataDir);
  const ready = async () => (await proxy.backend.stats?.())?.['replicas_ready'];
  await until(async () => await ready() === 2);

  const end = new AbortController();
  const seen = { whole: 0, failed: 0 };
  const client = async () => {
    while (!end.signal.aborted) {
      const response = await fetch(`${proxy.url}/v1/chat/completions`, { method: 'POST', body: JSON.stringify({ model: 'smollm2', messages: [{ role: 'user', content: 'x' }], stream: true, pace_ms: 2 }) });
      const text = await response.text();
      assert.equal(response.status, 200, text);
      const isWhole = /"finish_reason":"stop"[\s\S]*data: \[DONE\]\n\n$/.test(text);
      // What was cut off says so.
      assert.notEqual(isWhole, text.includes('"error":{'));
      seen[isWhole ? 'whole' : 'failed']++;
    }
  };
  const load = Promise.all(Array.from({ length: clients }, client));
  await until(() => seen.whole > 20);
  await first.kill();
  await until(async () => await ready() === 1);
  publish(trainer, 1);
  assert.equal((await promote(proxy, 1)).status, 200);
  const before = seen.whole;
  await until(() => seen.whole > before + 20);
  await first.restart();
  await until(async () => await ready() === 2);
  const asked = first.chats.length;
  await until(() => first.chats.length > asked + 5);
  end.abort();
  await load;

  assert.ok(seen.failed <= clients, `${seen.failed} calls failed`);
  await proxy.settled();
  const steps = listSteps(trainer, { limit: 10_000 }).items.map(({ id }) => getStep(trainer, id));
  assert.equal(steps.length, seen.whole + seen.failed, 'a call that was sent twice is one step');
  assert.equal(steps.filter((step) => step?.state !== 'complete').length, seen.failed);
  for (const step of steps) {
    const ids = [...step?.completionIds ?? []];
    assert.deepEqual(ids, tokensOf(step?.versionSpans?.[0]?.version ?? 0).slice(0, ids.length));
    assert.ok(step?.state !== 'complete' || ids.length === answerLength);
  }
  rmSync(home, { recursive: true });
});

test('a server that starts when the proxy runs already gets the current version before its first call', async () => {
  const home = tempDir();
  await using server = await FakeVllm.start();
  const config = configSchema.parse({ dataDir: join(home, 'data'), server: { port: 0 }, backend: { kind: 'vllm', baseUrls: [server.baseUrl], healthMs: 20 } });
  {
    await using proxy = await startProxy(config, { env: {}, log: createLog('silent') });
    await until(async () => (await proxy.backend.health()).ok);
    using trainer = openDatabase(config.dataDir);
    publish(trainer, 1);
    assert.equal((await promote(proxy, 1)).status, 200);
  }
  await server.kill();
  await using proxy = await startProxy(config, { env: {}, log: createLog('silent') });
  assert.equal((await fetch(`${proxy.url}/readyz`)).status, 503);
  const ask = () => fetch(`${proxy.url}/v1/chat/completions`, { method: 'POST', body: JSON.stringify({ model: 'smollm2', messages: [{ role: 'user', content: 'x' }] }) });
  const refused = await ask();
  assert.deepEqual([refused.status, refused.headers.get('retry-after')], [503, '1']);
  await server.restart();
  await until(async () => (await fetch(`${proxy.url}/readyz`)).status === 200);
  const answer = await (await ask()).json() as { choices: { message: unknown }[]; model: string };
  assert.equal(answer.model, 'smollm2');
  await proxy.settled();
  using db = openDatabase(config.dataDir, { readonly: true });
  const [last] = listSteps(db).items;
  assert.deepEqual([...getStep(db, last?.id ?? '')?.completionIds ?? []], tokensOf(1));
  rmSync(home, { recursive: true });
});

test('an adapter that a server refuses is not promoted, and calls go on', async () => {
  const home = tempDir();
  await using server = await FakeVllm.start();
  server.fault = ({ path }) => (path.endsWith('/load_lora_adapter') ? { kind: 'status', status: 500, message: 'LoRA rank 32 is greater than max_lora_rank 16.' } : null);
  const config = configSchema.parse({ dataDir: join(home, 'data'), server: { port: 0 }, backend: { kind: 'vllm', baseUrls: [server.baseUrl], healthMs: 20 } });
  await using proxy = await startProxy(config, { env: {}, log: createLog('silent') });
  await until(async () => (await proxy.backend.health()).ok);
  using trainer = openDatabase(config.dataDir);
  publish(trainer, 1);
  const refused = await promote(proxy, 1);
  assert.equal(refused.status, 409);
  assert.match(await refused.text(), /max_lora_rank 16/);
  const answer = await fetch(`${proxy.url}/v1/chat/completions`, { method: 'POST', body: JSON.stringify({ model: 'smollm2', messages: [{ role: 'user', content: 'x' }] }) });
  assert.equal(answer.status, 200);
  rmSync(home, { recursive: true });
});

test('a call that a replica fails before its first byte is answered by another one, and is one step', async () => {
  const home = tempDir();
  await using first = await FakeVllm.start();
  await using second = await FakeVllm.start();
  const config = configSchema.parse({ dataDir: join(home, 'data'), server: { port: 0 }, backend: { kind: 'vllm', baseUrls: [first.baseUrl, second.baseUrl], healthMs: 20 } });
  await using proxy = await startProxy(config, { env: {}, log: createLog('silent') });
  await until(async () => (await proxy.backend.stats?.())?.['replicas_ready'] === 2);
  for (const server of [first, second]) {
    // Whichever it comes to first: the other one finds that it was asked before.
    server.fault = ({ path, body }) => (path === '/v1/chat/completions' && body['max_tokens'] !== 1 && first.chats.length + second.chats.length === 0 ? { kind: 'reset' } : null);
  }
  const answer = await fetch(`${proxy.url}/v1/chat/completions`, { method: 'POST', body: JSON.stringify({ model: 'smollm2', messages: [{ role: 'user', content: 'x' }], stream: true }) });
  assert.match(await answer.text(), /"finish_reason":"stop"[\s\S]*data: \[DONE\]\n\n$/);
  assert.deepEqual([first.chats.length, second.chats.length], [1, 1]);
  await proxy.settled();
  using db = openDatabase(config.dataDir, { readonly: true });
  const steps = listSteps(db).items;
  assert.deepEqual(steps.map(({ state }) => state), ['complete']);
  assert.deepEqual([...getStep(db, steps[0]?.id ?? '')?.completionIds ?? []], tokensOf(0));
  rmSync(home, { recursive: true });
});
