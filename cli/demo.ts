/** `fulgurite demo`: an ordinary agent gets better at arithmetic word problems, from nothing to a trained policy. */
import { once } from 'node:events';
import { join } from 'node:path';
import type { Command } from 'commander';
import { count } from '../store/drizzle.ts';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { exportSteps } from '../store/export.ts';
import { type Database, openDatabase } from '../store/open.ts';
import { steps } from '../store/schema.ts';
import { AdminClient } from './client/admin.ts';
import { naturalNumber, newCommand, positiveInteger } from './command.ts';
import { freshDirectory } from './demo/directory.ts';
import { transcript } from './demo/transcript.ts';
import { RunError } from './failure.ts';
import { onInterrupt } from './interrupt.ts';
import { packageRoot } from './package.ts';
import { ProcessGroups } from './runner/process.ts';
import { startServerProcess } from './server/child.ts';
import { readTasks } from './tasks.ts';
import { Progress } from './terminal/progress.ts';
import { cell } from './terminal/table.ts';
import { trainLoop, type TrainPlan, type TrainResult } from './train/loop.ts';
import { progressObserver } from './train/observer.ts';
import { rewardChart, trainingTable } from './train/report.ts';

interface DemoOptions {
  readonly data: string;
  readonly port: number;
  readonly rounds: number;
  readonly exit?: boolean;
  readonly json?: boolean;
}

/** Enough to learn from in two minutes on two cores; each rollout is a process of its own. */
const schedule = { group: 4, tasksPerRound: 32, parallel: 8, seed: 0 };

/** What the demo promises: success rates on the held-out tasks before and after training. */
const promised = { before: 0.5, after: 0.9 };

export function demoCommand(): Command {
  return newCommand('demo', 'Watch an unmodified agent get better: validate, train, validate again, on the CPU.', 'demo --exit --json')
    .option('-d, --data <directory>', 'where the demo keeps its records; an earlier demo\'s are deleted', join('data', 'demo'))
    .option('-p, --port <number>', 'port of its server; 0 picks a free one', naturalNumber, 0)
    .option('--rounds <number>', 'training rounds', positiveInteger, 8)
    .option('--exit', 'end when the training has ended, instead of leaving the server running')
    .option('--json', 'print the outcome as JSON, on the last line of stdout')
    .action((options: DemoOptions) => demo(options));
}

async function demo(options: DemoOptions): Promise<void> {
  const started = performance.now();
  const example = join(packageRoot, 'examples', 'calculator');
  const config = demoConfig(join(example, 'fulgurite.yaml'), join(example, 'model'), options);
  const plan = planOf(example, options);
  freshDirectory(options.data);
  const say = (text: string) => (options.json ? process.stderr : process.stdout).write(`${text}\n`);

  using interruption = onInterrupt();
  using groups = new ProcessGroups();
  say(`Starting the server: model ${config.backend.kind === 'embedded' ? config.backend.model : ''}`);
  const progress = new Progress();
  const server = await startServerProcess(config, interruption.signal, (line) => progress.line(line));
  try {
    say(`An agent that knows nothing of this project runs against ${server.facts.url}; its policy is version ${server.facts.version}.\n`);
    const result = await trainLoop(new AdminClient(server.connection), groups, { ...plan, model: server.facts.model }, progressObserver(progress, () => {}), interruption.signal);
    progress.clear();
    const outcome = recordedOutcome(config.dataDir, result, (performance.now() - started) / 1000, say);
    if (!options.exit) say(whatToTry(server.facts.url, server.facts.model, options.data));
    if (options.json) process.stdout.write(`${JSON.stringify(outcome)}\n`);
    requirePromise(outcome);
    if (!options.exit && !interruption.signal.aborted) await once(interruption.signal, 'abort');
  } finally {
    await server.stop();
  }
}

function demoConfig(file: string, model: string, options: DemoOptions): Config {
  return loadConfig({
    file,
    flags: (tree) => {
      tree['dataDir'] = options.data;
      tree['server'] = { port: options.port };
      Object.assign(tree['backend'] as object, { model }); // the example's own file has a backend
    },
  });
}

function planOf(example: string, options: DemoOptions): Omit<TrainPlan, 'model'> {
  return {
    agent: {
      argv: [process.execPath, join(example, 'agent.mjs')],
      rewardArgv: [process.execPath, join(example, 'reward.mjs')],
      timeoutMs: 60_000,
      retries: 1,
      // Thousands of short runs of one program: compile it once.
      env: { NODE_COMPILE_CACHE: join(options.data, 'cache', 'node') },
    },
    trainTasks: readTasks(join(example, 'tasks', 'train.jsonl')),
    valTasks: readTasks(join(example, 'tasks', 'val.jsonl')),
    ...schedule, rounds: options.rounds,
    valEvery: options.rounds, valSamples: 1, untilVal: null,
  };
}

interface Outcome {
  readonly before: number;
  readonly after: number;
  readonly rounds: number;
  /** Policy calls that were recorded. */
  readonly steps: number;
  readonly seconds: number;
}

/** Tells what happened, from the result and from what the database holds. */
function recordedOutcome(dataDir: string, result: TrainResult, seconds: number, say: (text: string) => unknown): Outcome {
  using db = openDatabase(dataDir, { readonly: true });
  say(`\n${trainingTable(result)}\n\n${rewardChart(result)}\n`);
  for (const line of oneTask(db, result)) say(line);
  const outcome = {
    before: result.before?.successRate ?? 0, after: result.after?.successRate ?? 0, rounds: result.rounds.length,
    steps: db.orm.select({ n: count() }).from(steps).get()?.n ?? 0, seconds: Math.round(seconds),
  };
  say(`\nHeld-out tasks solved: ${cell(outcome.before * 100, 1)} % before, ${cell(outcome.after * 100, 1)} % after ${outcome.rounds} rounds; ${outcome.steps} calls recorded, ${outcome.seconds} s.`);
  return outcome;
}

/** A held-out task that the first policy failed and the last one solved, as its calls were recorded. */
function* oneTask(db: Database, { before, after }: TrainResult): Generator<string> {
  const solved = new Map(after?.results.filter(({ reward }) => reward?.value === 1).map((result) => [result.taskId, result]));
  const failed = before?.results.find(({ taskId, reward }) => reward?.value !== 1 && solved.has(taskId));
  const fixed = solved.get(failed?.taskId ?? '');
  if (!failed || !fixed) return;
  for (const [title, { id }] of [[`Task ${failed.taskId} before:`, failed], ['after:', fixed]] as const) {
    yield title;
    for (const line of transcript([...exportSteps(db, { rolloutId: id })])) yield `  ${line}`;
  }
}

function requirePromise({ before, after }: Outcome): void {
  if (before > promised.before) throw new RunError(`The untrained policy already solves ${cell(before * 100, 1)} % of the held-out tasks; it should be at most ${promised.before * 100} %.`);
  if (after < promised.after) throw new RunError(`The trained policy solves only ${cell(after * 100, 1)} % of the held-out tasks; it should be at least ${promised.after * 100} %.`);
}

function whatToTry(url: string, model: string, data: string): string {
  const task = JSON.stringify({ question: 'Ben has 12 pens and buys 30 more. How many pens does Ben have?' });
  return [
    '', `The server goes on at ${url} (Ctrl-C ends it). Try:`,
    `  echo '${task}' | OPENAI_BASE_URL=${url}/v1 OPENAI_API_KEY=any OPENAI_MODEL=${model} node examples/calculator/agent.mjs`,
    `  curl ${url}/metrics`,
    `  npm run fulgurite -- policies --url ${url}`,
    `  npm run --silent fulgurite -- export --data ${data} | head -1`, '',
  ].join('\n');
}
