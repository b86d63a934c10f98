/** One rollout: the unmodified agent command on one task, until it has a reward or is given up. */
import type { AdminClient, EndState, RolloutMode } from '../client/admin.ts';
import { Interrupted, UsageError } from '../failure.ts';
import type { Task } from '../tasks.ts';
import type { Command, Ending, ProcessGroups, ProcessResult } from './process.ts';
import { exitStatusReward, type Reward, readReward, rewardCommand } from './reward.ts';

export interface AgentCommand {
  readonly argv: Command['argv'];
  /** Judges an agent that sent no reward itself; without it the exit status does. */
  readonly rewardArgv: Command['argv'] | null;
  readonly timeoutMs: number;
  /** More attempts after a crash (killed by a signal) or a timeout. An exit code is an outcome, not a crash. */
  readonly retries: number;
  /** More environment for the agent and the reward command. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface RolloutResult {
  readonly id: string;
  readonly taskId: string;
  readonly state: EndState;
  /** Null: it could not be judged; `problem` says why. */
  readonly reward: Reward | null;
  readonly attempts: number;
  readonly seconds: number;
  readonly problem: string | null;
  /** The end of what the agent wrote to stderr in its last attempt. */
  readonly stderr: string;
}

/** Linux allows 128 KiB in one environment variable; a longer task comes on stdin only. */
const maxTaskEnvironment = 32 * 1024;

export interface RolloutParts {
  readonly client: AdminClient;
  readonly groups: ProcessGroups;
  readonly agent: AgentCommand;
  /** What the agent is told to ask for. */
  readonly model: string;
}

/** @throws Interrupted after the rollout was ended as cancelled; UsageError when the command cannot be started. */
export async function runRollout(parts: RolloutParts, task: Task, mode: RolloutMode, signal: AbortSignal): Promise<RolloutResult> {
  if (signal.aborted) throw new Interrupted();
  const { client, groups, agent } = parts;
  const started = performance.now();
  const created = await client.createRollout({ task_id: task.id, mode, input: task.input });
  const env = { ...agent.env, ...agentEnvironment(client.connection.url + created.base_url, created.api_key, parts.model, created.id, task) };
  const input = typeof task.input === 'string' ? task.input : JSON.stringify(task.input);
  for (let attempt = 1; ; attempt++) {
    const result = await groups.run({ argv: agent.argv, env, stdin: `${input}\n`, timeoutMs: agent.timeoutMs }, signal);
    const { ending } = result;
    if (ending.kind === 'interrupted') {
      await client.endRollout(created.id, { state: 'cancelled', detail: 'interrupted' });
      throw new Interrupted();
    }
    if (ending.kind === 'not_started') {
      await client.endRollout(created.id, { state: 'failed', detail: ending.reason });
      throw new UsageError(`Cannot start ${agent.argv[0]}: ${ending.reason}.`);
    }
    if (ending.kind !== 'exited' && attempt <= agent.retries) {
      await client.newAttempt(created.id, { state: endState(ending), detail: describeEnding(ending) });
      continue;
    }
    const judged = await judge(parts, created.id, task, result, env, signal);
    if (judged.reward === null && signal.aborted) {
      await client.endRollout(created.id, { state: 'cancelled', detail: 'interrupted' });
      throw new Interrupted();
    }
    const state = judged.problem === null ? endState(ending) : 'failed';
    const detail = judged.problem ?? describeEnding(ending);
    await client.endRollout(created.id, { state, detail });
    return {
      id: created.id, taskId: task.id, state, reward: judged.reward, attempts: attempt,
      seconds: (performance.now() - started) / 1000,
      problem: state === 'succeeded' ? null : detail, stderr: result.stderr,
    };
  }
}

/** The official clients read the first two; the rest is for agents and reward commands that want to know more. */
export function agentEnvironment(baseUrl: string, apiKey: string, model: string, rollout: string, task: Task): Record<string, string> {
  const json = JSON.stringify(task.input);
  return {
    OPENAI_BASE_URL: baseUrl,
    OPENAI_API_KEY: apiKey,
    OPENAI_MODEL: model,
    FULGURITE_ROLLOUT: rollout,
    FULGURITE_TASK_ID: task.id,
    ...(json.length <= maxTaskEnvironment ? { FULGURITE_TASK: json } : {}),
    FULGURITE_REWARD_URL: `${baseUrl}/rewards`,
  };
}

async function judge(
  parts: RolloutParts, rollout: string, task: Task, result: ProcessResult, env: Command['env'], signal: AbortSignal,
): Promise<{ reward: Reward | null; problem: string | null }> {
  const { client, agent } = parts;
  const own = (await client.rewards(rollout)).filter((reward) => reward.kind === 'outcome');
  if (own.length > 0) return { reward: { value: own.reduce((sum, reward) => sum + reward.value, 0), source: 'agent' }, problem: null };
  let reward = exitStatusReward(result.ending);
  if (agent.rewardArgv !== null && result.ending.kind === 'exited') {
    const input = { task: task.input, stdout: result.stdout, stderr: result.stderr, exit_code: result.ending.code };
    const reading = readReward(await parts.groups.run(rewardCommand(agent.rewardArgv, input, env, agent.timeoutMs), signal));
    if ('problem' in reading) return { reward: null, problem: reading.problem };
    reward = reading.reward;
  }
  await client.giveReward(rollout, reward.value, reward.source === 'command' ? 'command' : 'exit_status');
  return { reward, problem: null };
}

/** An agent that ended with a code other than 0 has failed as a rollout, whatever its reward. */
function endState(ending: Ending): EndState {
  if (ending.kind === 'timed_out') return 'timed_out';
  if (ending.kind === 'interrupted') return 'cancelled';
  return ending.kind === 'exited' && ending.code === 0 ? 'succeeded' : 'failed';
}

function describeEnding(ending: Ending): string {
  switch (ending.kind) {
    case 'exited': return ending.code === 0 ? 'ended' : `exit code ${ending.code}`;
    case 'killed': return `killed by ${ending.signal}`;
    case 'timed_out': return 'timed out';
    case 'interrupted': return 'interrupted';
    default: return ending.reason;
  }
}
