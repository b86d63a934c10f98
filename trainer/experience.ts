/** The round's rows, from the store: what selection chooses from, and what was chosen as training steps. */
import { type CandidateStep, listCandidateSteps } from '../store/candidates.ts';
import type { Database } from '../store/open.ts';
import { lastRewardId, type LiveReward, liveRewards } from '../store/rewards.ts';
import { currentAttempt } from '../store/rollouts.ts';
import type { VersionSpan } from '../store/schema.ts';
import type { BatchStep } from './batch.ts';
import type { GivenReward } from './credit/call-rewards.ts';
import { type Candidate, finalReasons, type Selected, type SelectionRules } from './select.ts';

/** A selected step with its tokens. */
export interface TrainingStep extends BatchStep {
  readonly rolloutId: string;
  /** Its group; a rollout without a task is a group of its own, by its rollout's id. */
  readonly taskId: string;
  /** The call's place in its attempt. */
  readonly sequence: number;
  /** `[completion]` natural log-probs under the distribution the tokens were sampled from. */
  readonly behaviourLogprobs: Float32Array;
  readonly versionSpans: readonly VersionSpan[];
  readonly staleness: number;
  /** Cut off at its length limit. */
  readonly truncated: boolean;
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
export function readExperience(db: Database, rules: Pick<SelectionRules, 'maxSteps' | 'grouped'>): Experience {
  const steps = (['train', 'live'] as const).flatMap((mode) => listCandidateSteps(db, { modes: [mode], limit: rules.maxSteps * 4, finalReasons: finalReasons(rules) }));
  const rolloutIds = [...new Set(steps.map((step) => step.rolloutId))];
  const rewardsThrough = lastRewardId(db);
  const live = liveRewards(db, rolloutIds, rewardsThrough);
  const judged = (step: CandidateStep): boolean => live.get(step.rolloutId)?.some((reward) => step.rolloutState !== 'running' || reward.createdAt >= step.createdAt) ?? false;
  const lastAttempts = new Map(rolloutIds.map((id) => [id, currentAttempt(db, id)?.id ?? '']));
  return {
    candidates: steps
      .map((step) => ({ ...step, lastAttemptId: lastAttempts.get(step.rolloutId) ?? '', rewarded: judged(step) }))
      // An ordinary live call has no reward: it is no candidate, and not worth a row in every round.
      .filter((step) => step.mode === 'train' || step.rewarded),
    rewards: asGiven(live),
    rewardsThrough,
  };
}

/** @param through rewards with a greater id came later and do not count */
export function readRewards(db: Database, rolloutIds: readonly string[], through: number): GivenRewards {
  return asGiven(liveRewards(db, rolloutIds, through));
}

function asGiven(live: ReadonlyMap<string, readonly LiveReward[]>): GivenRewards {
  return new Map([...live].map(([id, given]) => [id, given.map(({ value, kind, sequence }) => ({ value, kind, sequence }))]));
}

/** @throws Error if a step that selection should have left out has no tokens or sampling parameters */
export function toTrainingStep({ candidate, staleness }: Selected): TrainingStep {
  const { id, rolloutId, attemptId, sequence, promptIds, completionIds, logprobs, sampling, versionSpans } = candidate;
  if (!promptIds || !completionIds || !logprobs || !sampling || !versionSpans) throw new Error(`step ${id} was selected without tokens`);
  return {
    id, rolloutId, attemptId, taskId: candidate.taskId ?? rolloutId, sequence, promptTokenIds: promptIds, completionTokenIds: completionIds, behaviourLogprobs: logprobs,
    temperature: sampling.temperature, versionSpans, staleness, truncated: candidate.finishReason === 'length',
  };
}
