/** The options that say how an agent command is run, shared by `run` and `train`. */
import type { Command } from 'commander';
import { naturalNumber, positiveInteger, positiveNumber } from './command.ts';
import { UsageError } from './failure.ts';
import { requireExecutable } from './runner/executable.ts';
import type { Command as ProcessCommand } from './runner/process.ts';
import type { AgentCommand } from './runner/rollout.ts';
import { splitWords } from './runner/words.ts';

export interface AgentOptions {
  readonly group: number;
  readonly parallel: number;
  readonly timeout: number;
  readonly retries: number;
  readonly reward?: string;
  readonly shell?: boolean;
}

export function addAgentOptions(command: Command): Command {
  return command
    .argument('<command...>', 'the agent: a program and its arguments, after --')
    .option('-g, --group <number>', 'rollouts of each task', positiveInteger, 8)
    .option('-j, --parallel <number>', 'agents that run at once', positiveInteger, 8)
    .option('--timeout <seconds>', 'longest run of one agent; then its process group is ended', positiveNumber, 300)
    .option('--retries <number>', 'new attempts after a timeout or a crash (killed by a signal)', naturalNumber, 1)
    .option('-r, --reward <command>', 'judges an agent that sent no reward: reads {"task", "stdout", "stderr", "exit_code"} on stdin, prints a number (default: 1 for exit code 0, else 0)')
    .option('--shell', 'run the agent and the reward command by /bin/sh');
}

/** @throws UsageError when one of the programs cannot be started. */
export function agentOf(words: readonly string[], options: AgentOptions): AgentCommand {
  const argv = options.shell ? shell(words.join(' ')) : argvOf(words);
  const rewardArgv = options.reward === undefined ? null : options.shell ? shell(options.reward) : argvOf(splitWords(options.reward));
  requireExecutable(argv[0]);
  if (rewardArgv) requireExecutable(rewardArgv[0]);
  return { argv, rewardArgv, timeoutMs: options.timeout * 1000, retries: options.retries };
}

/** Not commander's required option, which would hide a misspelt one behind "missing". @throws UsageError */
export function requiredTasks({ tasks }: { readonly tasks?: string }): string {
  if (tasks === undefined) throw new UsageError('--tasks FILE is missing: tasks as JSON Lines, one JSON value a line.');
  return tasks;
}

function shell(script: string): ProcessCommand['argv'] {
  return ['/bin/sh', '-c', script];
}

function argvOf(words: readonly string[]): ProcessCommand['argv'] {
  const [program = '', ...args] = words; // commander and splitWords give at least one word
  return [program, ...args];
}
