/** The commands against the real server: a tiny model with random weights, an agent that is an ordinary HTTP client. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { writeOneCallAgent } from './one-call-agent.ts';
import { fulgurite } from './spawn.ts';

const cwd = mkdtempSync(join(tmpdir(), 'fulgurite-e2e-'));
after(() => rmSync(cwd, { recursive: true }));
copyFileSync(new URL('../fixtures/gguf/tiny.gguf', import.meta.url), join(cwd, 'tiny.gguf'));
writeFileSync(join(cwd, 'tasks.jsonl'), '{"q": "ab"}\n{"q": "ba"}\n');
writeOneCallAgent(join(cwd, 'agent.mjs'), 8);
// The model knows nothing that could be rewarded: what counts here is that rewards differ, so that every round has something to learn.
writeFileSync(join(cwd, 'reward.mjs'), 'console.log(Math.random());');
const agent = ['--', process.execPath, 'agent.mjs'];
const reward = ['--reward', `${process.execPath} reward.mjs`];
const model = ['--model', 'tiny.gguf', '--data', 'data', '--set', 'backend.threads=1', '--set', 'trainer.threads=1', '--set', 'log=silent'];

function lines(text: string): Record<string, unknown>[] {
  return text.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
}

test('train starts a server of its own, trains, swaps and validates', { timeout: 120_000 }, async () => {
  const { code, stdout, stderr } = await fulgurite(['train', ...model, '--tasks', 'tasks.jsonl', '--val', 'tasks.jsonl', '--rounds', '2', '--group', '4', '--json', ...reward, ...agent], { cwd }).finished;
  assert.equal(code, 0, stderr);
  const rounds = lines(stdout);
  assert.deepEqual(rounds.map(({ round, version, state, rollouts }) => [round, version, state, rollouts]), [[1, 1, 'promoted', 8], [2, 2, 'promoted', 8]]);
  for (const { metrics } of rounds) assert.ok(Number((metrics as Record<string, number>)['gradNorm']) > 0);
  assert.match(stderr, /round {2}version {2}reward/);
});

test('export: every step of the data directory, with ids, log-probs, rewards and versions', async () => {
  const { code, stdout, stderr } = await fulgurite(['export', '--data', 'data'], { cwd }).finished;
  assert.equal(code, 0, stderr);
  const steps = lines(stdout);
  assert.equal(steps.length, 3 * 2 + 2 * 8, 'three validations and two rounds');
  for (const step of steps) {
    assert.equal((step['completionIds'] as number[]).length, (step['logprobs'] as number[]).length);
    assert.equal((step['rewards'] as unknown[]).length, 1);
  }
  const used = await fulgurite(['export', '--data', 'data', '--policy-version', '2'], { cwd }).finished;
  assert.equal(lines(used.stdout).length, 8);
});

test('serve goes on with the last promoted version; policies, rounds and run talk to it; Ctrl-C ends it', { timeout: 120_000 }, async () => {
  await using server = fulgurite(['serve', ...model, '--port', '0'], { cwd });
  const [, url = ''] = await server.printed(/OPENAI_BASE_URL=(\S+)\/v1[\s\S]*metrics/);
  const at = ['--url', url];
  const policies = lines((await fulgurite(['policies', 'list', '--json', ...at], { cwd }).finished).stdout);
  assert.deepEqual(policies.map(({ version, current }) => [version, current]), [[2, true], [1, false], [0, false]]);
  assert.equal((await fulgurite(['policies', 'rollback', ...at], { cwd }).finished).stdout, 'Version 1 is current again.\n');
  assert.equal((await fulgurite(['policies', 'promote', '2', ...at], { cwd }).finished).stdout, 'Version 2 is current.\n');
  const unknown = await fulgurite(['policies', 'promote', '9', ...at], { cwd }).finished;
  assert.deepEqual([unknown.code, unknown.stderr], [1, 'There is no policy version 9. GET /admin/policies lists them.\n']);
  assert.deepEqual(lines((await fulgurite(['rounds', 'list', '--json', ...at], { cwd }).finished).stdout).map(({ state }) => state), ['promoted', 'promoted']);
  const ran = await fulgurite(['run', '--tasks', 'tasks.jsonl', '--group', '2', '--mode', 'val', '--json', ...at, ...reward, ...agent], { cwd }).finished;
  assert.equal(ran.code, 0, ran.stderr);
  const [first] = lines(ran.stdout);
  const exported = await fulgurite(['export', '--rollout', String(first?.['rollout']), ...at], { cwd }).finished;
  const [step] = lines(exported.stdout);
  assert.deepEqual((step?.['versionSpans'] as { version: number }[] | undefined)?.map(({ version }) => version), [2]);
  server.child.kill('SIGINT');
  assert.equal((await server.finished).code, 0);
});

test('doctor measures that engine and trainer agree, on the trained version', { timeout: 120_000 }, async () => {
  const { code, stdout, stderr } = await fulgurite(['doctor', ...model, '--samples', '4', '--json'], { cwd }).finished;
  assert.equal(code, 0, stdout + stderr);
  const { ok, checks } = JSON.parse(stdout) as { ok: boolean; checks: { name: string; ok: boolean; detail: string }[] };
  assert.ok(ok);
  assert.match(checks.find(({ name }) => name === 'agreement')?.detail ?? '', /differ by at most \d\.\d+e-\d+ .* of version 2$/);
});
