/** `fulgurite train`: run, round, swap, validate, again. */
import type { Command } from 'commander';
import { addAgentOptions, agentOf, type AgentOptions, requiredTasks } from './agent-options.ts';
import { AdminClient } from './client/admin.ts';
import { addTargetOptions, openTarget, type TargetOptions } from './client/target.ts';
import { finiteNumber, naturalNumber, newCommand, positiveInteger } from './command.ts';
import { UsageError } from './failure.ts';
import { onInterrupt } from './interrupt.ts';
import { ProcessGroups } from './runner/process.ts';
import { readTasks } from './tasks.ts';
import { Progress } from './terminal/progress.ts';
import { trainLoop, type TrainPlan } from './train/loop.ts';
import { progressObserver } from './train/observer.ts';
import { rewardChart, roundJson, trainingTable } from './train/report.ts';

interface TrainOptions extends AgentOptions, TargetOptions {
  readonly tasks?: string;
  readonly val?: string;
  readonly rounds: number;
  readonly tasksPerRound?: number;
  readonly seed: number;
  readonly valEvery: number;
  readonly valSamples: number;
  readonly untilVal?: number;
  readonly json?: boolean;
}

export function trainCommand(): Command {
  const command = newCommand('train', 'Train the policy on an agent\'s own work: run, round, swap, validate, again.', 'train --model ./model --tasks train.jsonl --val val.jsonl --rounds 10 -- node agent.mjs')
    .passThroughOptions()
    .option('-t, --tasks <file>', 'training tasks, one JSON value a line')
    .option('--val <file>', 'validation tasks, kept apart from the training tasks')
    .option('--rounds <number>', 'training rounds', positiveInteger, 10)
    .option('--tasks-per-round <number>', 'tasks that a round takes from the shuffled file (default: all)', positiveInteger)
    .option('--seed <number>', 'seed of the shuffle and of the rounds', naturalNumber, 0)
    .option('--val-every <number>', 'validate after every so many rounds, and after the last', positiveInteger, 1)
    .option('--val-samples <number>', 'rollouts of each validation task', positiveInteger, 1)
    .option('--until-val <reward>', 'stop when the mean validation reward reaches this', finiteNumber)
    .option('--json', 'one JSON line for each round on stdout');
  return addTargetOptions(addAgentOptions(command)).action((words: string[], options: TrainOptions) => train(words, options));
}

async function train(words: readonly string[], options: TrainOptions): Promise<void> {
  const plan = planOf(words, options);
  using interruption = onInterrupt();
  using groups = new ProcessGroups();
  const progress = new Progress();
  await using target = await openTarget(options, interruption.signal, (line) => progress.line(line));
  const client = new AdminClient(target.connection);
  const observer = progressObserver(progress, (report) => {
    if (options.json) process.stdout.write(`${JSON.stringify(roundJson(report))}\n`);
  });
  const result = await trainLoop(client, groups, { ...plan, model: await client.servedModel() }, observer, interruption.signal);
  progress.clear();
  const human = options.json ? process.stderr : process.stdout;
  human.write(`\n${trainingTable(result)}\n\n${rewardChart(result)}\n`);
}

function planOf(words: readonly string[], options: TrainOptions): Omit<TrainPlan, 'model'> {
  const trainTasks = readTasks(requiredTasks(options));
  const valTasks = options.val === undefined ? [] : readTasks(options.val);
  if (options.untilVal !== undefined && options.val === undefined) throw new UsageError('--until-val needs validation tasks: give --val FILE.');
  return {
    agent: agentOf(words, options), trainTasks, valTasks,
    rounds: options.rounds, group: options.group, parallel: options.parallel, tasksPerRound: options.tasksPerRound ?? null, seed: options.seed,
    valEvery: options.valEvery, valSamples: options.valSamples, untilVal: options.untilVal ?? null,
  };
}
