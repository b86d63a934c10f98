/** The demo as a newcomer runs it, and what it leaves behind. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { exportSteps } from '../../../store/export.ts';
import { openDatabase } from '../../../store/open.ts';
import { currentVersion } from '../../../store/policies.ts';
import { listRoundSteps } from '../../../store/round-steps.ts';
import { listRounds } from '../../../store/rounds.ts';
import { fulgurite } from '../spawn.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const data = join(mkdtempSync(join(tmpdir(), 'fulgurite-demo-')), 'data');
after(() => rmSync(join(data, '..'), { recursive: true }));

test('the agent gets better: at most half of the held-out tasks before, at least 90 % after', { timeout: 540_000 }, async () => {
  await using demo = fulgurite(['demo', '--exit', '--json', '--data', data], { cwd: root });
  const { code, stdout, stderr } = await demo.finished;
  assert.equal(code, 0, stderr);
  const outcome = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Record<'before' | 'after' | 'rounds' | 'steps' | 'seconds', number>;
  assert.ok(outcome.before <= 0.5 && outcome.after >= 0.9, stdout);
  assert.ok(outcome.seconds <= 300, `took ${outcome.seconds} s`);
  assert.match(stderr, /Task val-\d+ before:/);
  using db = openDatabase(data, { readonly: true });
  assert.equal([...exportSteps(db)].length, outcome.steps);
});

test('the database holds every call: ids, log-probs, versions, rewards, and which step went into which round', () => {
  using db = openDatabase(data, { readonly: true });
  for (const step of exportSteps(db)) {
    assert.equal(step.state, 'complete');
    assert.ok(step.completionIds && step.promptIds && step.logprobs && step.versionSpans);
    assert.equal(step.logprobs.length, step.completionIds.length);
    assert.equal(step.versionSpans.at(-1)?.to, step.completionIds.length);
    assert.ok(step.rewards.length > 0, `step ${step.id} has no reward`);
  }
  const promoted = listRounds(db, { state: 'promoted' }).items;
  assert.ok(promoted.length > 0);
  for (const round of promoted) assert.ok(listRoundSteps(db, round.id, { used: true }).items.length > 0);
});

test('a server started on it serves the last promoted version', { timeout: 60_000 }, async () => {
  using db = openDatabase(data, { readonly: true });
  await using server = fulgurite(['serve', '--config', 'examples/calculator/fulgurite.yaml', '--data', data, '--port', '0', '--no-trainer'], { cwd: root });
  const [, version] = await server.printed(/policy version (\d+)/);
  assert.equal(Number(version), currentVersion(db));
  assert.ok(Number(version) > 0);
});
