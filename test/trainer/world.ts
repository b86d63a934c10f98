/** A small world to learn in: a real database, the tiny golden Llama, and tasks whose reward is easy to get more of. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TrainerConfig, trainerSchema } from '../../config/schema.ts';
import { type Database, openDatabase } from '../../store/open.ts';
import { ensureBasePolicy } from '../../store/policies.ts';
import { giveReward } from '../../store/rewards.ts';
import { createRollout, endRollout } from '../../store/rollouts.ts';
import { findRound, requestRound, claimRound, type Round } from '../../store/rounds.ts';
import { completeSteps, openSteps } from '../../store/step-writes.ts';
import type { Learner } from '../../trainer/learner.ts';
import { openTrainingPolicy, type TrainableModel, type TrainingPolicy } from '../../trainer/policy.ts';
import { seededRandom } from '../../trainer/random.ts';
import { planRound } from '../../trainer/round-plan.ts';
import { trackProgress } from '../../trainer/round-progress.ts';
import { runRound } from '../../trainer/round.ts';
import { openGolden } from '../model/golden.ts';

export const vocabulary = 97;

export interface World extends AsyncDisposable {
  readonly db: Database;
  readonly model: TrainableModel;
  /** Opened anew: not the one that an earlier call gave. */
  policy(config: TrainerConfig): Promise<TrainingPolicy>;
}

export function makeWorld(): World {
  const directory = mkdtempSync(join(tmpdir(), 'fulgurite-trainer-'));
  const db = openDatabase(join(directory, 'data'));
  const golden = openGolden('llama-tied');
  const model: TrainableModel = { config: golden.config, weights: golden.weights, fingerprint: 'tiny', path: golden.directory };
  ensureBasePolicy(db, null);
  const opened: TrainingPolicy[] = [];
  return {
    db,
    model,
    async policy(config) {
      const policy = await openTrainingPolicy({ model, config, cacheDir: join(directory, 'cache') });
      opened.push(policy);
      return policy;
    },
    async [Symbol.asyncDispose]() {
      for (const policy of opened) await policy.close();
      golden.weights.close();
      golden.results.close();
      db.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** One thread: the machine's number of cores must not decide the bytes. */
export function trainerConfig(overrides: Record<string, unknown> = {}): TrainerConfig {
  return trainerSchema.parse({ threads: 1, lora: { rank: 4, alpha: 8 }, ...overrides });
}

/** Log-probs of every token of the vocabulary after `context`. */
export async function distribution(learner: Learner, context: readonly number[], temperature = 1): Promise<Float32Array> {
  const { logprobs } = await learner.forward({
    batch: 1, time: context.length, tokenIds: Int32Array.from(context), positions: new Int32Array(vocabulary).fill(context.length - 1),
    targets: Int32Array.from({ length: vocabulary }, (_, i) => i), temperature: new Float32Array(vocabulary).fill(temperature), perToken: {},
  });
  return logprobs;
}

export interface CollectOptions {
  readonly tasks: number;
  readonly group: number;
  readonly seed: number;
  readonly version: number;
  /** Part of the rows' ids; default: the version. */
  readonly name?: string;
  readonly temperature?: number;
  /** Of the sampled tokens of a rollout. Default: the share of even tokens. */
  readonly reward?: (tokens: readonly number[]) => number | null;
  /** Added to every recorded log-prob. */
  readonly logprobError?: number;
  /** Live rollouts, which have no task and do not end. */
  readonly live?: boolean;
  /** Of the `call`th call of a rollout; default `stop`. */
  readonly finishReason?: (member: number, call: number) => string;
  /** Given to the call; default: nothing is. */
  readonly intermediate?: (tokens: readonly number[]) => number;
}

/** Lets the policy act: rollouts of two calls of two tokens, the second call's prompt continuing the first. Returns the mean reward. */
export async function collect(db: Database, learner: Learner, options: CollectOptions): Promise<number> {
  const random = seededRandom(options.seed);
  const { temperature = 1, name = String(options.version), reward = (tokens: readonly number[]) => tokens.filter((token) => token % 2 === 0).length / tokens.length } = options;
  let total = 0;
  for (let task = 0; task < options.tasks; task++) {
    for (let member = 0; member < options.group; member++) {
      const { rollout, attempt } = createRollout(db, { id: `ro_${name}_${task}_${member}`, ...(options.live === true ? { mode: 'live' } : { mode: 'train', taskId: `task-${task}` }), at: task * 100 + member });
      const sampled: number[] = [];
      let context = [1 + task, 7, 3];
      for (let call = 0; call < 2; call++) {
        const id = `st_${name}_${task}_${member}_${call}`;
        const prompt = Int32Array.from(context);
        const logprobs: number[] = [];
        for (let token = 0; token < 2; token++) {
          const all = await distribution(learner, context, temperature);
          const choice = draw(all, random());
          logprobs.push((all[choice] ?? NaN) + (options.logprobError ?? 0));
          sampled.push(choice);
          context.push(choice);
        }
        openSteps(db, [{
          id, callId: id.replace('st', 'ca'), choice: 0, rolloutId: rollout.id, attemptId: attempt.id, agent: 'default', sequence: call, parentStepId: null, dialect: 'chat', model: 'tiny',
          responseId: null, request: null, sampling: { temperature, topP: 1, topK: 0, minP: 0, seed: null, maxTokens: 2, stop: [] }, createdAt: 1000 + call,
        }]);
        completeSteps(db, [{
          id, state: 'complete', responseId: null, response: null, promptIds: prompt, completionIds: Int32Array.from(context.slice(prompt.length)), logprobs: Float32Array.from(logprobs),
          versionSpans: [{ version: options.version, from: 0, to: 2 }], finishReason: options.finishReason?.(member, call) ?? 'stop', usage: null, queueMs: null, firstTokenMs: null, totalMs: null, quarantineReason: null, error: null, endedAt: 2000,
        }]);
        if (options.intermediate) giveReward(db, { target: { stepId: id }, kind: 'intermediate', value: options.intermediate(sampled.slice(-2)), source: 'agent' });
        context = [...context, 5];
      }
      const value = reward(sampled);
      if (value !== null) giveReward(db, { target: { rolloutId: rollout.id }, value, source: 'agent' });
      if (options.live !== true) endRollout(db, { rolloutId: rollout.id, state: 'succeeded' });
      total += value ?? 0;
    }
  }
  return total / (options.tasks * options.group);
}

function draw(logprobs: Float32Array, uniform: number): number {
  let mass = 0;
  for (const [token, logprob] of logprobs.entries()) {
    mass += Math.exp(logprob);
    if (uniform < mass) return token;
  }
  return logprobs.length - 1;
}

/** Requests, plans and runs a round from `baseVersion`. */
export async function trainOnce(world: World, policy: TrainingPolicy, config: TrainerConfig, baseVersion: number, seed = 1, promote = true): Promise<Round> {
  const requested = requestRound(world.db, { promote, seed });
  if (claimRound(world.db)?.id !== requested.id) throw new Error('another round was waiting');
  planRound(world.db, requested.id, { config, seed, baseVersion });
  const planned = findRound(world.db, requested.id) ?? requested;
  await runRound({ db: world.db, model: world.model.fingerprint, sampler: 'test', trainer: config, openPolicy: () => Promise.resolve(policy), progress: trackProgress(() => {}, new AbortController().signal) }, planned);
  return findRound(world.db, requested.id) ?? planned;
}
