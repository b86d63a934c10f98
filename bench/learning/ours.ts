/** Our run: `fulgurite serve` in its own process, agents that are plain HTTP clients, a training round after each batch of rollouts. */
import { AdminClient } from '../../cli/client/admin.ts';
import { startServerProcess } from '../../cli/server/child.ts';
import { trainRound } from '../../cli/train/round.ts';
import { configSchema, type Config } from '../../config/schema.ts';
import type { Curve, Plan, RoundResult } from './plan.ts';
import type { Task, TaskSource } from './tasks.ts';

const never = new AbortController().signal;

export async function trainOurs(plan: Plan, source: TaskSource, log: (line: string) => void): Promise<Curve> {
  const started = performance.now();
  const server = await startServerProcess(configOf(plan), never, log);
  try {
    const client = new AdminClient(server.connection);
    const begun = performance.now();
    const rounds: RoundResult[] = [];
    for (let r = 0; r < plan.rounds; r++) {
      const roundBegun = performance.now();
      const tasks = source.tasks.slice(r * plan.tasksPerRound, (r + 1) * plan.tasksPerRound);
      const results = await Promise.all(tasks.map(async (task) => {
        const scores = await Promise.all(Array.from({ length: plan.group }, (_, member) => runAgent(client, plan, source, task, (plan.seed * 1_000_003 + task.index) * plan.group + member)));
        return { kind: task.kind, reward: scores.reduce((sum, score) => sum + score, 0) / scores.length };
      }));
      const round = await trainRound(client, { seed: plan.seed }, never, () => {});
      if (round.state !== 'promoted' && round.state !== 'empty') throw new Error(`round ${round.id} ended ${round.state}: ${round.error ?? ''}`);
      log(`round ${round.id} ${round.state}: ${JSON.stringify(round.metrics)}`);
      rounds.push({ tasks: results, seconds: (performance.now() - roundBegun) / 1000 });
    }
    return { rounds, seconds: (performance.now() - begun) / 1000, startSeconds: (begun - started) / 1000 };
  } finally {
    await server.stop();
  }
}

/** An agent knows a base URL and a key, asks, and sends its reward. */
async function runAgent(client: AdminClient, plan: Plan, source: TaskSource, task: Task, seed: number): Promise<number> {
  const rollout = await client.createRollout({ task_id: `task-${task.index}`, mode: 'train', input: task.index });
  const post = async (path: string, body: object): Promise<unknown> => {
    const response = await fetch(`${client.connection.url}${rollout.base_url}${path}`, {
      method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${rollout.api_key}` }, body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
    return response.json();
  };
  const answer = await post('/chat/completions', { model: 'policy', messages: task.messages, temperature: plan.temperature, max_tokens: plan.maxTokens, seed }) as { choices: [{ message: { content: string | null } }] }; // OpenAI's shape
  const score = await source.score(task, answer.choices[0].message.content ?? '');
  await post('/rewards', { value: score });
  await client.endRollout(rollout.id, { state: 'succeeded' });
  return score;
}

/** What is not named is our default; GRPO's are the paper's, which TRL is told to follow. */
function configOf(plan: Plan): Config {
  return configSchema.parse({
    dataDir: plan.work,
    server: { port: 0 },
    backend: { kind: 'embedded', model: plan.gguf, name: 'policy', maxContext: 512, maxRows: plan.tasksPerRound * plan.group, threads: plan.threads },
    trainer: {
      threads: plan.threads, seed: plan.seed, algorithm: { name: 'grpo' }, optimizer: { learningRate: plan.learningRate },
      lora: { rank: plan.rank, alpha: plan.alpha, targets: [...plan.targets] },
    },
    log: 'silent',
  });
}
