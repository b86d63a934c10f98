/** Rounds and policies with the trainer's side played by the test, in another connection as the trainer has it. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { openDatabase, type Database } from '../../../store/open.ts';
import { currentVersion } from '../../../store/policies.ts';
import { claimRound, finishRound, publishRound, setRoundProgress } from '../../../store/rounds.ts';
import { FakeBackend } from '../fake-backend.ts';
import { events, startHarness, tempDir, until, type Harness } from '../harness.ts';

function writePolicy(dataDir: string, version: number, model = 'fake-model'): string {
  const directory = `policies/${version}`;
  mkdirSync(join(dataDir, directory), { recursive: true });
  writeFileSync(join(dataDir, directory, 'policy.json'), JSON.stringify({ version, kind: 'adapter', model }));
  return directory;
}

/** What a trainer does with the oldest requested round. */
function train(db: Database, version: number, promote: boolean, model?: string): void {
  const round = claimRound(db);
  assert.ok(round);
  setRoundProgress(db, round.id, { phase: 'train', done: 1, total: 2 });
  const directory = writePolicy(db.dataDir, version, model);
  publishRound(db, {
    roundId: round.id, metrics: { reward_mean: 0.5, kl: 0.01 }, promote,
    policy: { version, kind: 'adapter', parentVersion: version - 1, directory, sha256: 'x' },
  });
}

const json = async <T>(response: Response | Promise<Response>): Promise<T> => await (await response).json() as T; // documented answers
const code = async (response: Response) => (await json<{ error: { code: string } }>(response)).error.code;

describe('rounds', () => {
  test('a request is 202 and a row; its overrides are checked against the trainer\'s settings', async () => {
    await using h = await startHarness();
    const response = await h.post('/admin/rounds', { seed: 7, promote: false, config: { epochs: 2, optimizer: { learningRate: 0.001 } } });
    assert.equal(response.status, 202);
    const round = await json<{ id: number; state: string; seed: number; promote: boolean; config: object }>(response);
    assert.deepEqual([round.id, round.state, round.seed, round.promote], [1, 'requested', 7, false]);
    assert.deepEqual(round.config, { epochs: 2, optimizer: { learningRate: 0.001 } });
    for (const [body, param] of [
      [{ config: { epochs: 0 } }, 'config.epochs'],
      [{ config: { optimizer: { learningRate: 'fast' } } }, 'config.optimizer.learningRate'],
      [{ config: { optimizer: { speed: 1 } } }, 'config.optimizer.speed'],
      [{ config: { pollMs: 10 } }, 'config.pollMs'],
      [{ seed: 1.5 }, 'seed'],
    ] as const) {
      const refused = await h.post('/admin/rounds', body);
      assert.equal(refused.status, 400);
      assert.equal((await json<{ error: { param: string } }>(refused)).error.param, param);
    }
    assert.equal((await json<{ data: object[] }>(h.get('/admin/rounds'))).data.length, 1);
  });

  test('a server that does not know its policy\'s weights refuses rounds: nobody would ever do them', async () => {
    await using h = await startHarness({ hasWeights: false });
    const refused = await h.post('/admin/rounds', {});
    assert.equal(refused.status, 409);
    assert.equal(await code(refused), 'no_model_to_train');
    assert.deepEqual((await json<{ data: object[] }>(h.get('/admin/rounds'))).data, []);
  });

  test('events are the row after every change, until the round ends; the swap follows by itself', async () => {
    await using h = await startHarness();
    using trainer = openDatabase(h.dataDir);
    await h.post('/admin/rounds', {});
    const following = h.get('/admin/rounds/1/events').then(events);
    await new Promise((resolve) => { setTimeout(resolve, 80); });
    train(trainer, 1, true);
    const rows = (await following).map((data) => JSON.parse(data) as { state: string; metrics: object | null; result_version: number | null });
    assert.equal(rows[0]?.state, 'requested');
    assert.deepEqual(rows.at(-1), { ...rows.at(-1), state: 'promoted', result_version: 1, metrics: { reward_mean: 0.5, kl: 0.01 } });
    await until(() => h.backend.currentVersion() === 1, 1000);
    assert.deepEqual(h.backend.loaded, [1]);
    const metrics = await (await h.get('/metrics')).text();
    assert.match(metrics, /fulgurite_policy_version 1/);
    assert.match(metrics, /fulgurite_last_round\{metric="reward_mean"\} 0\.5/);
    assert.match(metrics, /fulgurite_rounds\{state="promoted"\} 1/);
    assert.equal((await h.chat('x')).status, 200);
    assert.deepEqual((await h.steps()).at(-1)?.versionSpans?.map((span) => span.version), [1]);
  });

  test('a failed round ends its events with the reason', async () => {
    await using h = await startHarness();
    using trainer = openDatabase(h.dataDir);
    await h.post('/admin/rounds', {});
    finishRound(trainer, claimRound(trainer)?.id ?? 0, { state: 'failed', error: 'out of memory' });
    const rows = (await events(await h.get('/admin/rounds/1/events'))).map((data) => JSON.parse(data) as { state: string; error: string });
    assert.deepEqual(rows.map((row) => [row.state, row.error]), [['failed', 'out of memory']]);
  });
});

describe('policies', () => {
  /** Two trained versions, the first promoted, the second a candidate. */
  async function withVersions(h: Harness): Promise<void> {
    using trainer = openDatabase(h.dataDir);
    await h.post('/admin/rounds', {});
    await h.post('/admin/rounds', {});
    train(trainer, 1, true);
    train(trainer, 2, false);
    await until(() => h.backend.currentVersion() === 1, 1000);
  }

  test('promote and roll back: served when the answer comes, unused versions unloaded', async () => {
    await using h = await startHarness();
    await withVersions(h);
    const promoted = await json<{ version: number; current_version: number; reason: string }>(h.post('/admin/policies/2/promote', {}));
    assert.deepEqual([promoted.version, promoted.current_version, promoted.reason], [2, 2, 'admin']);
    assert.equal(h.backend.currentVersion(), 2);
    assert.deepEqual(h.backend.unloaded, [1]);
    const rolledBack = await json<{ current_version: number }>(h.post('/admin/policies/rollback', {}));
    assert.equal(rolledBack.current_version, 1);
    assert.equal(h.backend.currentVersion(), 1);
    assert.equal((await json<{ current_version: number }>(h.post('/admin/policies/rollback', { version: 0 }))).current_version, 0);
    const list = await json<{ current_version: number; data: { version: number; current: boolean; kind: string; parent_version: number | null }[] }>(h.get('/admin/policies'));
    assert.equal(list.current_version, 0);
    assert.deepEqual(list.data.map((policy) => [policy.version, policy.current, policy.kind]), [[2, false, 'adapter'], [1, false, 'adapter'], [0, true, 'base']]);
    const { data } = await json<{ data: { version: number; reason: string }[] }>(h.get('/admin/policies/promotions'));
    assert.deepEqual(data.map((row) => [row.version, row.reason]), [[0, 'initial'], [1, 'round'], [2, 'admin'], [1, 'rollback'], [0, 'rollback']]);
  });

  test('a rollout pinned to a candidate is served from it while the current one stays', async () => {
    await using h = await startHarness();
    await withVersions(h);
    const rollout = await json<{ id: string; base_url: string }>(h.post('/admin/rollouts', { mode: 'val', version: 2 }));
    await h.chat('x', {}, `${rollout.base_url}/chat/completions`);
    assert.deepEqual((await h.steps()).at(-1)?.versionSpans?.map((span) => span.version), [2]);
    await h.chat('x');
    assert.deepEqual((await h.steps()).at(-1)?.versionSpans?.map((span) => span.version), [1]);
    assert.deepEqual(h.backend.unloaded, []);
    await h.post(`/admin/rollouts/${rollout.id}/end`, {});
    assert.deepEqual(h.backend.unloaded, [2], 'its last rollout has ended');
  });

  test('what cannot be promoted says why, and nothing changes', async () => {
    await using h = await startHarness();
    await withVersions(h);
    for (const [path, status, expected] of [
      ['/admin/policies/9/promote', 404, 'unknown_policy'],
      ['/admin/policies/x/promote', 400, 'invalid_value'],
      ['/admin/policies/9', 404, 'unknown_policy'],
    ] as const) {
      const response = path.endsWith('promote') ? await h.post(path, {}) : await h.get(path);
      assert.equal(response.status, status, path);
      assert.equal(await code(response), expected);
    }
    writePolicy(h.dataDir, 2, 'another model');
    const mismatch = await h.post('/admin/policies/2/promote', {});
    assert.equal(mismatch.status, 409);
    assert.equal(await code(mismatch), 'model_mismatch');
    assert.equal(h.backend.currentVersion(), 1);
    assert.equal(currentVersion(h.db), 1);
  });

  test('a promotion that cannot be served is reported once, and serving goes on', async () => {
    await using h = await startHarness();
    using trainer = openDatabase(h.dataDir);
    await h.post('/admin/rounds', {});
    train(trainer, 1, true, 'another model');
    await until(() => h.log.some((line) => line.includes('cannot be served')), 1000);
    assert.equal((await h.chat('x')).status, 200);
    await new Promise((resolve) => { setTimeout(resolve, 150); });
    assert.equal(h.log.filter((line) => line.includes('cannot be served')).length, 1);
    assert.match(await (await h.get('/metrics')).text(), /fulgurite_policy_swaps_total\{result="failed"\} 1/);
  });

  test('a restart serves the last promoted version; without its files, or with another model, it refuses and says why', async () => {
    const dataDir = tempDir();
    {
      await using h = await startHarness({ dataDir });
      await withVersions(h);
    }
    {
      await using h = await startHarness({ dataDir });
      assert.equal(h.backend.currentVersion(), 1);
      assert.equal((await json<{ status: string }>(h.get('/readyz'))).status, 'ready');
    }
    await assert.rejects(startHarness({ dataDir, backend: new FakeBackend({ fingerprint: 'another' }) }), /another base model/);
    await assert.rejects(startHarness({ dataDir, backend: new FakeBackend({ policies: false }) }), /serves one policy.*roll back to version 0/);
    writePolicy(dataDir, 1, 'another model');
    await assert.rejects(startHarness({ dataDir }), /Policy version 1 .* was trained from another base model/);
    const { rmSync } = await import('node:fs');
    rmSync(join(dataDir, 'policies/1'), { recursive: true });
    await assert.rejects(startHarness({ dataDir }), /Policy version 1 has no files/);
    rmSync(dataDir, { recursive: true });
  });
});
