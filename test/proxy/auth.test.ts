/** Keys and scopes, over real HTTP. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startProxy } from '../../proxy/main.ts';
import { FakeBackend } from './fake-backend.ts';
import { startHarness, testConfig } from './harness.ts';

const bearer = (key: string) => ({ authorization: `Bearer ${key}` });
const keys = [
  { key: 'agent-key-1', scope: 'agent' }, { key: 'env:ADMIN_KEY', scope: 'admin' }, { key: 'metrics-key', scope: 'metrics' },
];
const chat = '/v1/chat/completions';

test('each scope opens its own endpoints and no others', async () => {
  await using h = await startHarness({ server: { keys }, env: { ADMIN_KEY: 'admin-key-1' } });
  const status = async (path: string, key: string | null) => {
    const headers = key === null ? {} : bearer(key);
    return (path === chat ? await h.chat('x', {}, chat, headers) : await h.get(path, headers)).status;
  };
  const expected: readonly [path: string, none: number, wrong: number, agent: number, admin: number, metrics: number][] = [
    [chat, 401, 401, 200, 200, 403],
    ['/v1/models', 401, 401, 200, 200, 403],
    ['/admin/rollouts', 401, 401, 403, 200, 403],
    ['/metrics', 401, 401, 403, 200, 200],
    ['/healthz', 200, 200, 200, 200, 200],
    ['/readyz', 200, 200, 200, 200, 200],
  ];
  for (const [path, ...statuses] of expected) {
    const got = [];
    for (const key of [null, 'wrong-key', 'agent-key-1', 'admin-key-1', 'metrics-key']) got.push(await status(path, key));
    assert.deepEqual(got, statuses, path);
  }
  assert.equal((await h.steps()).length, 2, 'a refused call leaves nothing');
});

test('a wrong key is told so in OpenAI\'s words; x-api-key is read too', async () => {
  await using h = await startHarness({ server: { keys }, env: { ADMIN_KEY: 'admin-key-1' } });
  const response = await h.chat('x', {}, chat, bearer('sk-this-is-a-long-wrong-key'));
  const { error } = await response.json() as { error: { code: string; type: string; message: string } };
  assert.equal(error.code, 'invalid_api_key');
  assert.equal(error.type, 'authentication_error');
  assert.doesNotMatch(error.message, /long-wrong-key/, 'a key is not repeated');
  assert.equal((await h.chat('x', {}, chat, { 'x-api-key': 'agent-key-1' })).status, 200);
});

test('on an open loopback server any key will do, but a minted one still means its rollout', async () => {
  await using h = await startHarness();
  assert.equal((await h.chat('x', {}, chat, bearer('anything'))).status, 200);
  assert.equal((await h.get('/admin/rollouts', bearer('anything'))).status, 200);
  assert.equal((await h.chat('x', {}, chat, bearer('sk-fg-made-up'))).status, 401);

  const first = await (await h.post('/admin/rollouts', { task_id: 't' })).json() as { id: string; api_key: string };
  const second = await (await h.post('/admin/rollouts', { task_id: 't' })).json() as { id: string; api_key: string };
  assert.equal((await h.chat('x', {}, chat, bearer(first.api_key))).status, 200);
  assert.equal((await h.steps()).at(-1)?.rolloutId, first.id, 'no rollout in the URL: the key names it');
  assert.equal((await h.chat('x', {}, `/rollouts/${second.id}${chat}`, bearer(first.api_key))).status, 403);
  assert.equal((await h.chat('x', {}, chat, { ...bearer(first.api_key), 'x-fulgurite-rollout': second.id })).status, 403);
  assert.equal((await h.post('/v1/rewards', { value: 1, rollout: second.id }, bearer(first.api_key))).status, 403);
  assert.equal((await h.post('/v1/rewards', { value: 1 }, bearer(first.api_key))).status, 201);
  assert.equal((await h.get('/admin/rollouts', bearer(first.api_key))).status, 403);
});

test('the database holds no key', async () => {
  await using h = await startHarness();
  const { api_key: secret } = await (await h.post('/admin/rollouts', {})).json() as { api_key: string };
  const rows = JSON.stringify(h.db.sqlite.prepare('select * from keys').all());
  assert.ok(!rows.includes(secret) && !rows.includes(secret.slice(10)));
});

for (const [name, server, message] of [
  ['an open bind without keys', { host: '0.0.0.0' }, /server\.keys/],
  ['an open bind with a metrics key only', { host: '0.0.0.0', keys: [{ key: 'metrics-key', scope: 'metrics' }] }, /agent or admin key/],
  ['a key from a variable that is not set', { keys: [{ key: 'env:NOT_SET', scope: 'agent' }] }, /NOT_SET/],
] as const) {
  test(`${name} is refused at start`, async () => {
    // Refused before anything is made there.
    await assert.rejects(startProxy(testConfig('/nonexistent', server), { backend: new FakeBackend(), env: {} }), message);
  });
}
