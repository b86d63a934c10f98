/** The round's rows, from the store: what selection chooses from, and what was chosen as training steps. */
import { listCandidateSteps } from '../store/candidates.ts';
import type { Database } from '../store/open.ts';
import { lastRewardId, liveRewards } from '../store/rewards.ts';
import { currentAttempt } from '../store/rollouts.ts';
import type { VersionSpan } from '../store/schema.ts';
import type { BatchStep } from './batch.ts';
import type { GivenReward } from './credit/call-rewards.ts';
import { type Candidate, finalReasons, type Selected } from './select.ts';

/** A selected step with its tokens. */
export interface TrainingStep extends BatchStep {
  readonly rolloutId: string;
  readonly taskId: string;
  /** The call's place in its attempt. */
  readonly sequence: number;
  /** `[completion]` natural log-probs under the distribution the tokens were sampled from. */
  readonly behaviourLogprobs: Float32Array;
  readonly versionSpans: readonly VersionSpan[];
  readonly staleness: number;
}

/** Of each rollout: its live rewards, those of its steps included. */
export type GivenRewards = ReadonlyMap<string, readonly GivenReward[]>;

export interface Experience {
  readonly candidates: readonly Candidate[];
  readonly rewards: GivenRewards;
  /** Id of the newest reward that was seen. */
  readonly rewardsThrough: number;
}

/** Live traffic and training rollouts are listed apart, so that much of one does not hide the other; many more than fit, for what is left out. */
export function readExperience(db: Database, maxSteps: number): Experience {
  const steps = (['train', 'live'] as const).flatMap((mode) => listCandidateSteps(db, { modes: [mode], limit: maxSteps * 4, finalReasons }));
  const rolloutIds = [...new Set(steps.map((step) => step.rolloutId))];
  const rewardsThrough = lastRewardId(db);
  const rewards = readRewards(db, rolloutIds, rewardsThrough);
  const lastAttempts = new Map(rolloutIds.map((id) => [id, currentAttempt(db, id)?.id ?? '']));
  return {
    candidates: steps
      .map((step) => ({ ...step, lastAttemptId: lastAttempts.get(step.rolloutId) ?? '', rewarded: rewards.has(step.rolloutId) }))
      // An ordinary live call has no reward: it is no candidate, and not worth a row in every round.
      .filter((step) => step.mode === 'train' || step.rewarded),
    rewards,
    rewardsThrough,
  };
}

/** @param through rewards with a greater id came later and do not count */
export function readRewards(db: Database, rolloutIds: readonly string[], through: number): GivenRewards {
  return new Map([...liveRewards(db, rolloutIds, through)].map(([id, given]) => [id, given.map(({ value, kind, sequence }) => ({ value, kind, sequence }))]));
}

/** @throws Error if a step that selection should have left out has no tokens, sampling parameters or task */
export function toTrainingStep({ candidate, staleness }: Selected): TrainingStep {
  const { id, rolloutId, attemptId, taskId, sequence, promptIds, completionIds, logprobs, sampling, versionSpans } = candidate;
  if (taskId === null || !promptIds || !completionIds || !logprobs || !sampling || !versionSpans) throw new Error(`step ${id} was selected without tokens or task`);
  return {
    id, rolloutId, attemptId, taskId, sequence, promptTokenIds: promptIds, completionTokenIds: completionIds, behaviourLogprobs: logprobs,
    temperature: sampling.temperature, versionSpans, staleness,
  };
}
