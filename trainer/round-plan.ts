/**
 * What a round is made from. It is planned once: configuration, seed, base version, steps and the rewards seen are written into its rows before anything is
 * computed. Whoever runs it (the trainer that planned it, the one that goes on after a crash, a replay) reads the same plan and gets the same bytes.
 */
import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { z } from 'zod';
import { type TrainerConfig, trainerSchema } from '../config/schema.ts';
import { listStepsOfRound } from '../store/candidates.ts';
import type { Database } from '../store/open.ts';
import { currentVersion } from '../store/policies.ts';
import { listRoundSteps } from '../store/round-steps.ts';
import { recordRoundPlan, type Round } from '../store/rounds.ts';
import { algorithmOf } from './algorithms/index.ts';
import { environment } from './environment.ts';
import { TrainerError } from './error.ts';
import { type GivenRewards, readExperience, readRewards } from './experience.ts';
import { effectiveConfig } from './round-config.ts';
import { type Candidate, inCallOrder, type Selected, selectSteps } from './select.ts';

export interface RoundSetup {
  /** The whole effective configuration, with nothing left to the machine. */
  readonly config: TrainerConfig;
  readonly seed: number;
  readonly baseVersion: number;
}

export interface RoundPlan extends RoundSetup {
  /** By rollout id, then in the order of the calls. */
  readonly selected: readonly Selected[];
  readonly rewards: GivenRewards;
  /** How many steps were left out. */
  readonly leftOut: number;
}

/** What a requested round is to be made with now. @throws TrainerError `bad_config` */
export function setupOf(db: Database, trainer: TrainerConfig, round: Round): RoundSetup {
  const config = effectiveConfig(trainer, round.config);
  // Another number of threads may give other last bits.
  return { config: { ...config, threads: config.threads || availableParallelism() }, seed: round.seed ?? config.seed + round.id, baseVersion: currentVersion(db) };
}

/** Chooses the steps and writes the plan into the round's rows. */
export function planRound(db: Database, roundId: number, setup: RoundSetup): RoundPlan {
  const rules = { ...setup.config, grouped: algorithmOf(setup.config).grouped, baseVersion: setup.baseVersion };
  const { candidates, rewards, rewardsThrough } = readExperience(db, rules);
  const { selected, leftOut } = selectSteps(candidates, rules);
  recordRoundPlan(db, roundId, { ...setup, rewardsThrough, environment: environment() }, [
    ...selected.map(({ candidate, staleness }) => ({ stepId: candidate.id, staleness, leftOutReason: null, digest: stepDigest(candidate) })),
    ...leftOut.map(({ candidate, staleness, reason }) => ({ stepId: candidate.id, staleness, leftOutReason: reason, digest: null })),
  ]);
  return { ...setup, selected, rewards, leftOut: leftOut.length };
}

/**
 * The plan in a round's rows; null where it was not planned yet.
 * @throws TrainerError `changed`, naming the steps that are gone or not what they were; `bad_config` where an older version's configuration is not understood any more
 */
export function recordedPlan(db: Database, round: Round): RoundPlan | null {
  const { seed, baseVersion, rewardsThrough } = round;
  if (seed === null || baseVersion === null || rewardsThrough === null) return null;
  const parsed = trainerSchema.safeParse(round.config);
  if (!parsed.success) throw new TrainerError('bad_config', `Round ${round.id} was planned with a configuration that this version does not understand: ${z.prettifyError(parsed.error).replaceAll(/\s*\n\s*/g, ' ')}.`);

  const { items: rows } = listRoundSteps(db, round.id, { limit: Number.MAX_SAFE_INTEGER - 1 });
  const used = rows.filter((row) => row.leftOutReason === null);
  const steps = new Map(listStepsOfRound(db, round.id).map((step): [string, Candidate] => [step.id, { ...step, lastAttemptId: step.attemptId, rewarded: true }]));
  const selected: Selected[] = [];
  const changes: string[] = [];
  for (const { stepId, staleness, digest } of used) {
    const candidate = steps.get(stepId);
    if (candidate === undefined) changes.push(`step ${stepId} is gone`);
    else if (stepDigest(candidate) !== digest) changes.push(`step ${stepId} is not what it was`);
    else selected.push({ candidate, staleness: staleness ?? 0 });
  }
  if (changes.length > 0) throw new TrainerError('changed', `Round ${round.id} cannot be run as it was planned: ${listed(changes)}.`);
  selected.sort((a, b) => inCallOrder(a.candidate, b.candidate));
  const rewards = readRewards(db, [...new Set(selected.map(({ candidate }) => candidate.rolloutId))], rewardsThrough);
  return { config: parsed.data, seed, baseVersion, selected, rewards, leftOut: rows.length - used.length };
}

/** SHA-256 of all that training reads of a step. */
function stepDigest(step: Candidate): string {
  const { rolloutId, attemptId, taskId, agent, sequence, choice, sampling, versionSpans, finishReason, promptIds, completionIds, logprobs } = step;
  const hash = createHash('sha256').update(JSON.stringify([rolloutId, attemptId, taskId, agent, sequence, choice, sampling, versionSpans, finishReason, promptIds?.length]));
  for (const array of [promptIds, completionIds, logprobs]) if (array) hash.update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  return hash.digest('hex');
}

const namedChanges = 5;

function listed(changes: readonly string[]): string {
  const rest = changes.length - namedChanges;
  return `${changes.slice(0, namedChanges).join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}
