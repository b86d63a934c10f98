/** Where a rollout's reward comes from: the agent itself, else a reward command, else the exit status. */
import type { Command, Ending, ProcessResult } from './process.ts';

export interface Reward {
  readonly value: number;
  readonly source: 'agent' | 'command' | 'exit_status';
}

/** What a reward command reads on stdin, as JSON. */
export interface RewardInput {
  readonly task: unknown;
  readonly stdout: string;
  readonly stderr: string;
  readonly exit_code: number;
}

/** An agent that ended by itself is judged by its exit status; one that had to be killed did not do its task. */
export function exitStatusReward(ending: Ending): Reward {
  return { value: ending.kind === 'exited' && ending.code === 0 ? 1 : 0, source: 'exit_status' };
}

export type RewardReading = { readonly reward: Reward } | { readonly problem: string };

/** The last line that a reward command printed must be one number. */
export function readReward(result: ProcessResult): RewardReading {
  const { ending } = result;
  const said = result.stderr.trim().split('\n').at(-1) ?? '';
  const because = said === '' ? '' : `: ${said}`;
  switch (ending.kind) {
    case 'not_started': return { problem: `the reward command could not be started: ${ending.reason}` };
    case 'timed_out': return { problem: 'the reward command took too long' };
    case 'interrupted': return { problem: 'the reward command was interrupted' };
    case 'killed': return { problem: `the reward command was killed by ${ending.signal}${because}` };
    case 'exited': break;
  }
  if (ending.code !== 0) return { problem: `the reward command ended with exit code ${ending.code}${because}` };
  const line = result.stdout.trim().split('\n').at(-1)?.trim() ?? '';
  const value = Number(line);
  if (line === '' || !Number.isFinite(value)) return { problem: `the reward command printed ${line === '' ? 'nothing' : `"${line.slice(0, 60)}"`} instead of a number` };
  return { reward: { value, source: 'command' } };
}

export function rewardCommand(argv: Command['argv'], input: RewardInput, env: Command['env'], timeoutMs: number): Command {
  return { argv, env, stdin: JSON.stringify(input), timeoutMs };
}
