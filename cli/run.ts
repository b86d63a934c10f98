/** `fulgurite run`: an unmodified agent command, once for every task and group member. */
import type { Command } from 'commander';
import { addAgentOptions, agentOf, type AgentOptions, requiredTasks } from './agent-options.ts';
import { AdminClient, type RolloutMode, rolloutModes } from './client/admin.ts';
import { addTargetOptions, openTarget, type TargetOptions } from './client/target.ts';
import { newCommand, oneOf } from './command.ts';
import { RunError } from './failure.ts';
import { onInterrupt } from './interrupt.ts';
import { type BatchSummary, runBatch, summarize } from './runner/batch.ts';
import { ProcessGroups } from './runner/process.ts';
import type { RolloutResult } from './runner/rollout.ts';
import { problemReport } from './runner/problem.ts';
import { readTasks } from './tasks.ts';
import { cell } from './terminal/table.ts';
import { Progress } from './terminal/progress.ts';

interface RunOptions extends AgentOptions, TargetOptions {
  readonly tasks?: string;
  readonly mode: RolloutMode;
  readonly json?: boolean;
}

export function runCommand(): Command {
  const command = newCommand('run', 'Run an agent on tasks behind the proxy and give its rollouts their rewards.', 'run --tasks tasks.jsonl --group 8 --parallel 4 --timeout 60 -- node agent.mjs')
    .passThroughOptions()
    .option('-t, --tasks <file>', 'tasks, one JSON value a line')
    .option('--mode <mode>', 'train, val or live: what the rollouts are for', oneOf(rolloutModes), 'train')
    .option('--json', 'one JSON line for each rollout on stdout');
  return addTargetOptions(addAgentOptions(command)).action((words: string[], options: RunOptions) => run(words, options));
}

async function run(words: readonly string[], options: RunOptions): Promise<void> {
  const tasks = readTasks(requiredTasks(options));
  const agent = agentOf(words, options);
  using interruption = onInterrupt();
  using groups = new ProcessGroups();
  const progress = new Progress();
  await using target = await openTarget(options, interruption.signal, (line) => progress.line(line));
  const client = new AdminClient(target.connection);
  const model = await client.servedModel();
  let problem: RolloutResult | null = null;
  const results = await runBatch({ client, groups, agent, model }, { tasks, mode: options.mode, group: options.group, parallel: options.parallel }, interruption.signal, (result, done, total) => {
    if (options.json) process.stdout.write(`${JSON.stringify(rolloutJson(result))}\n`);
    if (result.problem !== null && problem === null) {
      problem = result;
      progress.line(problemReport(result));
    }
    progress.update(`rollouts ${done}/${total}`);
  });
  progress.clear();
  const summary = summarize(results);
  process.stderr.write(`${summaryText(summary)}\n`);
  if (summary.unjudged > 0) throw new RunError(`${summary.unjudged} of ${summary.rollouts} rollouts have no reward: the reward command failed.`);
}

export function rolloutJson(result: RolloutResult): Record<string, unknown> {
  return {
    rollout: result.id, task_id: result.taskId, state: result.state, reward: result.reward?.value ?? null, reward_source: result.reward?.source ?? null,
    attempts: result.attempts, seconds: Number(result.seconds.toFixed(3)), problem: result.problem,
  };
}

function summaryText(summary: BatchSummary): string {
  const parts = [`${summary.rollouts} rollouts`, `${summary.succeeded} succeeded`, `${summary.failed} failed`, `${summary.timedOut} timed out`, `mean reward ${cell(summary.meanReward)}`];
  return `${parts.join(', ')}.`;
}
