import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AdminClient } from '../../../cli/client/admin.ts';
import { Interrupted, UsageError } from '../../../cli/failure.ts';
import { runBatch, summarize } from '../../../cli/runner/batch.ts';
import { ProcessGroups } from '../../../cli/runner/process.ts';
import { type AgentCommand, type RolloutResult, runRollout } from '../../../cli/runner/rollout.ts';
import { startStandIn, type StandIn } from '../stand-in-server.ts';

const directory = mkdtempSync(join(tmpdir(), 'fulgurite-runner-'));
after(() => rmSync(directory, { recursive: true }));
const task = { id: 't1', input: { id: 't1', question: '6 * 7?', answer: 42 } };
const never = new AbortController().signal;

/** An agent that is a line of JavaScript. */
function agent(script: string, more: Partial<AgentCommand> = {}): AgentCommand {
  return { argv: [process.execPath, '-e', script], rewardArgv: null, timeoutMs: 10_000, retries: 0, ...more };
}

async function rollout(server: StandIn, command: AgentCommand, signal = never): Promise<RolloutResult> {
  using groups = new ProcessGroups();
  return await runRollout({ client: new AdminClient({ url: server.url, apiKey: undefined }), groups, agent: command, model: 'm' }, task, 'train', signal);
}

const postReward = (value: number) => `await fetch(process.env.FULGURITE_REWARD_URL, {method: 'POST', headers: {authorization: 'Bearer ' + process.env.OPENAI_API_KEY}, body: JSON.stringify({value: ${value}})});`;

test('the agent finds the task on stdin and its rollout\'s address, key and model in the environment', async () => {
  await using server = await startStandIn();
  const file = join(directory, 'seen.json');
  await rollout(server, agent(`
    const { text } = require('node:stream/consumers');
    text(process.stdin).then((stdin) => require('node:fs').writeFileSync(${JSON.stringify(file)}, JSON.stringify({stdin, env: process.env})));`));
  const { stdin, env } = JSON.parse(readFileSync(file, 'utf8')) as { stdin: string; env: Record<string, string> };
  assert.deepEqual(JSON.parse(stdin), task.input);
  assert.equal(env['OPENAI_BASE_URL'], `${server.url}/rollouts/ro_0/v1`);
  assert.equal(env['OPENAI_API_KEY'], 'sk-ro_0');
  assert.equal(env['OPENAI_MODEL'], 'm');
  assert.equal(env['FULGURITE_ROLLOUT'], 'ro_0');
  assert.deepEqual(JSON.parse(env['FULGURITE_TASK'] ?? ''), task.input);
  assert.deepEqual(server.rollouts[0]?.body, { task_id: 't1', mode: 'train', input: task.input });
});

test('the exit status is the reward when nothing else gives one', async () => {
  await using server = await startStandIn();
  const good = await rollout(server, agent(''));
  const bad = await rollout(server, agent('console.error("no luck"); process.exit(3)'));
  assert.deepEqual([good.reward, good.state], [{ value: 1, source: 'exit_status' }, 'succeeded']);
  assert.deepEqual([bad.reward, bad.state, bad.problem], [{ value: 0, source: 'exit_status' }, 'failed', 'exit code 3']);
  assert.equal(bad.stderr.trim(), 'no luck');
  assert.deepEqual(server.rollouts.map((row) => [row.state, row.rewards[0]?.value, row.rewards[0]?.source]), [['succeeded', 1, 'exit_status'], ['failed', 0, 'exit_status']]);
});

test('the agent\'s own reward goes before the reward command, and that before the exit status', async () => {
  await using server = await startStandIn();
  const seen = join(directory, 'judged.json');
  const rewardArgv = [process.execPath, '-e', `
    const { json } = require('node:stream/consumers');
    json(process.stdin).then((input) => { require('node:fs').writeFileSync(${JSON.stringify(seen)}, JSON.stringify(input)); console.log('thinking'); console.log(0.25); });`] as const;
  const own = await rollout(server, agent(postReward(0.75), { argv: [process.execPath, '--input-type=module', '-e', postReward(0.75)], rewardArgv: [...rewardArgv] }));
  assert.deepEqual(own.reward, { value: 0.75, source: 'agent' });
  assert.deepEqual(server.rollouts[0]?.rewards.map((reward) => reward.source), ['agent'], 'nothing was added to it');
  const commanded = await rollout(server, agent('console.log("the answer is 42"); process.exit(4)', { rewardArgv: [...rewardArgv] }));
  assert.deepEqual(commanded.reward, { value: 0.25, source: 'command' });
  const input = JSON.parse(readFileSync(seen, 'utf8')) as Record<string, unknown>;
  assert.deepEqual(input, { task: task.input, stdout: 'the answer is 42\n', stderr: '', exit_code: 4 });
});

test('a reward command that fails or prints no number leaves the rollout failed and without a reward', async () => {
  await using server = await startStandIn();
  const scripts: [string, RegExp][] = [
    ['console.error("boom"); process.exit(1)', /ended with exit code 1: boom/],
    ['console.log("good")', /printed "good" instead of a number/],
    ['', /printed nothing instead of a number/],
    ['console.log("Infinity")', /instead of a number/],
  ];
  for (const [script, says] of scripts) {
    const result = await rollout(server, agent('', { rewardArgv: [process.execPath, '-e', script] }));
    assert.equal(result.reward, null);
    assert.equal(result.state, 'failed');
    assert.match(result.problem ?? '', says);
    assert.deepEqual(server.rollouts.at(-1)?.rewards, []);
    assert.equal(server.rollouts.at(-1)?.state, 'failed');
  }
});

test('a timeout kills the whole process group, also a child that ignores SIGTERM', { timeout: 20_000 }, async () => {
  await using server = await startStandIn();
  const heartbeat = join(directory, 'heartbeat');
  const stubborn = `process.on('SIGTERM', () => {}); setInterval(() => require('node:fs').appendFileSync(${JSON.stringify(heartbeat)}, '.'), 10);`;
  const result = await rollout(server, agent(`require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(stubborn)}], {stdio: 'inherit'}); setInterval(() => {}, 1000);`, { timeoutMs: 1_000 }));
  assert.equal(result.state, 'timed_out');
  assert.deepEqual(result.reward, { value: 0, source: 'exit_status' });
  assert.equal(server.rollouts[0]?.state, 'timed_out');
  const beats = readFileSync(heartbeat, 'utf8').length;
  assert.ok(beats > 0, 'the grandchild has lived');
  await sleep(200);
  assert.equal(readFileSync(heartbeat, 'utf8').length, beats, 'the grandchild is gone');
});

test('an agent that ignores SIGTERM is killed after the grace', { timeout: 20_000 }, async () => {
  await using server = await startStandIn();
  const started = performance.now();
  const result = await rollout(server, agent('process.on("SIGTERM", () => {}); setInterval(() => {}, 1000)', { timeoutMs: 500 }));
  assert.equal(result.state, 'timed_out');
  assert.ok(performance.now() - started < 6_000);
});

test('a crash makes another attempt of the same rollout; an exit code does not', async () => {
  await using server = await startStandIn();
  const marker = join(directory, 'crashed-once');
  const crashOnce = `const fs = require('node:fs'); if (!fs.existsSync(${JSON.stringify(marker)})) { fs.writeFileSync(${JSON.stringify(marker)}, ''); process.kill(process.pid, 'SIGKILL'); setInterval(() => {}, 1000); }`;
  const crashed = await rollout(server, agent(crashOnce, { retries: 1 }));
  assert.deepEqual([crashed.state, crashed.attempts, crashed.reward?.value], ['succeeded', 2, 1]);
  assert.deepEqual(server.rollouts[0]?.attempts, [{ state: 'failed', detail: 'killed by SIGKILL' }]);
  const exited = await rollout(server, agent('process.exit(1)', { retries: 1 }));
  assert.equal(exited.attempts, 1);
  const always = await rollout(server, agent('process.kill(process.pid, "SIGKILL"); setInterval(() => {}, 1000)', { retries: 2 }));
  assert.deepEqual([always.attempts, always.state, always.reward?.value], [3, 'failed', 0]);
});

test('a batch runs each task `group` times, at most `parallel` at once', async () => {
  await using server = await startStandIn();
  using groups = new ProcessGroups();
  const parts = { client: new AdminClient({ url: server.url, apiKey: undefined }), groups, agent: agent('setTimeout(() => process.exit(Number(JSON.parse(process.env.FULGURITE_TASK).bad)), 100)'), model: 'm' };
  const tasks = [0, 1, 0].map((bad, index) => ({ id: `t${index}`, input: { bad } }));
  let running = 0;
  let most = 0;
  const watch = setInterval(() => {
    running = server.rollouts.filter((row) => row.state === 'running').length;
    most = Math.max(most, running);
  }, 5);
  const results = await runBatch(parts, { tasks, mode: 'val', group: 4, parallel: 3 }, never, () => {});
  clearInterval(watch);
  const summary = summarize(results);
  assert.equal(most, 3);
  assert.deepEqual([summary.rollouts, summary.succeeded, summary.failed, summary.unjudged], [12, 8, 4, 0]);
  assert.ok(Math.abs(summary.meanReward - 8 / 12) < 1e-12);
  assert.deepEqual(new Set(server.rollouts.map((row) => row.body.mode)), new Set(['val']));
  for (const { id } of tasks) assert.equal(server.rollouts.filter((row) => row.body.task_id === id).length, 4);
});

test('an interrupt ends the agents and leaves no rollout running', { timeout: 20_000 }, async () => {
  await using server = await startStandIn();
  using groups = new ProcessGroups();
  const parts = { client: new AdminClient({ url: server.url, apiKey: undefined }), groups, agent: agent('setInterval(() => {}, 1000)'), model: 'm' };
  const interrupt = new AbortController();
  setTimeout(() => interrupt.abort(new Interrupted()), 400);
  await assert.rejects(runBatch(parts, { tasks: [task], mode: 'train', group: 20, parallel: 12 }, interrupt.signal, () => {}), Interrupted);
  assert.equal(server.rollouts.length, 12);
  assert.deepEqual(new Set(server.rollouts.map((row) => row.state)), new Set(['cancelled']));
});

test('a program that cannot be started ends its rollout and is a usage error', async () => {
  await using server = await startStandIn();
  await assert.rejects(rollout(server, agent('', { argv: [join(directory, 'no-such-program')] })), UsageError);
  assert.equal(server.rollouts[0]?.state, 'failed');
});

test('when the server goes away the batch ends with one sentence instead of waiting for the agents', { timeout: 20_000 }, async () => {
  const server = await startStandIn();
  using groups = new ProcessGroups();
  const parts = { client: new AdminClient({ url: server.url, apiKey: undefined }), groups, agent: agent('setTimeout(() => {}, Number(JSON.parse(process.env.FULGURITE_TASK).ms))'), model: 'm' };
  const tasks = [{ id: 'a', input: { ms: 300 } }, { id: 'b', input: { ms: 60_000 } }];
  const batch = runBatch(parts, { tasks, mode: 'train', group: 1, parallel: 2 }, never, () => {});
  setTimeout(() => void server[Symbol.asyncDispose](), 150);
  await assert.rejects(batch, /Cannot reach a server at .*connection refused/);
});
