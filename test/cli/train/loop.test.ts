import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AdminClient } from '../../../cli/client/admin.ts';
import { ProcessGroups } from '../../../cli/runner/process.ts';
import { type TrainObserver, type TrainPlan, trainLoop } from '../../../cli/train/loop.ts';
import { roundJson, trainingTable } from '../../../cli/train/report.ts';
import { startStandIn, type StandIn } from '../stand-in-server.ts';

const never = new AbortController().signal;
const silent: TrainObserver = { phase() {}, rollout() {}, validated() {}, round() {} };
const tasks = (prefix: string, n: number) => Array.from({ length: n }, (_, i) => ({ id: `${prefix}${i}`, input: { bad: i % 2 } }));

const plan: TrainPlan = {
  // Fails every second task.
  agent: { argv: ['/bin/sh', '-c', 'case "$FULGURITE_TASK" in *1*) exit 1;; esac'], rewardArgv: null, timeoutMs: 10_000, retries: 0 },
  model: 'm', trainTasks: tasks('t', 4), valTasks: tasks('v', 2), rounds: 3, group: 2, parallel: 4, tasksPerRound: 2, seed: 0, valEvery: 2, valSamples: 1, untilVal: null,
};

async function loop(server: StandIn, changes: Partial<TrainPlan> = {}, observer = silent) {
  using groups = new ProcessGroups();
  return await trainLoop(new AdminClient({ url: server.url, apiKey: undefined }), groups, { ...plan, ...changes }, observer, never);
}

test('validates, then rounds of rollouts and training, validating every so often and after the last', async () => {
  await using server = await startStandIn();
  const events: string[] = [];
  const result = await loop(server, {}, {
    ...silent,
    validated: ({ version, meanReward }) => events.push(`val ${version} ${meanReward}`),
    round: ({ round, version }) => events.push(`round ${round} -> ${version}`),
  });
  assert.deepEqual(events, ['val 0 0.5', 'round 1 -> 1', 'val 2 0.5', 'round 2 -> 2', 'val 3 0.5', 'round 3 -> 3']);
  assert.deepEqual([result.before?.version, result.after?.version], [0, 3]);
  assert.deepEqual(server.rollouts.map(({ body }) => body.mode).filter((mode, i, all) => mode !== all[i - 1]), ['val', 'train', 'val', 'train', 'val']);
  assert.equal(server.rollouts.filter(({ body }) => body.mode === 'train').length, 3 * 2 * 2);
  assert.equal(server.rollouts.filter(({ body }) => body.mode === 'val').length, 3 * 2);
  const table = trainingTable(result);
  assert.match(table, /KL/);
  assert.match(table, /0\.010/, 'the trainer\'s metrics');
  const [first] = result.rounds;
  assert.ok(first);
  const line = JSON.parse(JSON.stringify(roundJson(first))) as Record<string, unknown>;
  assert.deepEqual([line['round'], line['version'], line['val'], line['state']], [1, 1, null, 'promoted']);
});

test('stops when the validation is good enough', async () => {
  await using server = await startStandIn();
  const result = await loop(server, { untilVal: 0.5, valEvery: 1 });
  assert.equal(result.rounds.length, 1);
});

test('an empty round changes nothing and the next one goes on', async () => {
  await using server = await startStandIn();
  server.roundStates = ['empty', 'promoted'];
  const result = await loop(server, { rounds: 2, valTasks: [] });
  assert.deepEqual(result.rounds.map(({ state, version }) => [state, version]), [['empty', 0], ['promoted', 1]]);
  assert.equal(result.before, null);
});

test('a failed round ends the training with the trainer\'s reason', async () => {
  await using server = await startStandIn();
  server.roundStates = ['failed'];
  await assert.rejects(loop(server), { name: 'RunError', message: 'Round 1 failed: out of memory' });
});
