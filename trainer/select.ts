/** Which steps go into a round, and why the others do not. Pure: the rows come from `experience.ts`. */
import type { CandidateStep } from '../store/candidates.ts';

/** A step that a round may use, with what its rollout says about it. */
export interface Candidate extends CandidateStep {
  /** The attempt whose result the rollout's rewards are about. */
  readonly lastAttemptId: string;
  /** The rollout or one of its steps has a live reward, of any kind; while the rollout goes on, one that was given after this step began. */
  readonly rewarded: boolean;
}

export type LeftOutReason =
  /** The rollout has not ended. (A live one seldom does: there a reward says that what came before it is to be judged.) */
  | 'rollout_running'
  /** No live reward on the rollout or one of its steps. */
  | 'no_reward'
  /** The rollout has no task, so nothing to be compared with, and the algorithm compares. */
  | 'no_group'
  /** Another attempt came after; the reward is that one's. */
  | 'superseded_attempt'
  /** The call failed, was aborted or was cut off. */
  | 'incomplete'
  | 'quarantined'
  /** Its server gave no token ids, or no log-prob for each: recorded as inexact. */
  | 'inexact'
  /** `trainer.agents` does not name its agent. */
  | 'other_agent'
  /** Sampled at temperature 0: a point mass has no gradient to follow. */
  | 'greedy'
  /** top_p, top_k or min_p cut the distribution: its log-probs are not the policy's. */
  | 'truncated_sampling'
  /** A grammar cut the distribution (`response_format`, `tool_choice`, strict tools): its log-probs are not the policy's. */
  | 'constrained_sampling'
  /** Sampled with a repetition, frequency or presence penalty, or a logit bias: its log-probs are not the policy's. */
  | 'penalized_sampling'
  /** A round was rejected because a recorded log-prob of it is not a finite number. */
  | 'not_finite'
  /** Not known which version sampled it. */
  | 'unknown_version'
  /** Sampled by a version after the one that training starts from (a rollback came between). */
  | 'newer_version'
  /** A token was sampled by a version more than `trainer.maxStaleness` before. */
  | 'stale'
  /** The round takes `trainer.maxSteps` steps, newest rollouts first. */
  | 'limit';

export interface SelectionRules {
  /** The version that training starts from. */
  readonly baseVersion: number;
  /** The algorithm compares the rollouts of a task. */
  readonly grouped: boolean;
  readonly maxStaleness: number;
  readonly maxSteps: number;
  readonly acceptTruncatedSampling: boolean;
  readonly agents?: readonly string[] | undefined;
}

export interface Selected {
  readonly candidate: Candidate;
  /** Base version minus the oldest version that sampled a token of it. */
  readonly staleness: number;
}

export interface LeftOut {
  readonly candidate: Candidate;
  readonly reason: LeftOutReason;
  readonly staleness: number | null;
}

export interface Selection {
  /** By rollout id, then in the order of the calls. */
  readonly selected: readonly Selected[];
  readonly leftOut: readonly LeftOut[];
}

/**
 * What will not change: steps left out for these reasons need not be looked at again. (A rollback makes a stale step no fresher for the
 * versions that follow.)
 */
export function finalReasons({ grouped }: Pick<SelectionRules, 'grouped'>): LeftOutReason[] {
  return ['superseded_attempt', 'incomplete', 'quarantined', 'inexact', 'greedy', 'stale', 'not_finite', ...(grouped ? ['no_group' as const] : [])];
}

/** A rollout is taken whole or not at all when the limit bites, so that group statistics are over whole rollouts. */
export function selectSteps(candidates: readonly Candidate[], rules: SelectionRules): Selection {
  const leftOut: LeftOut[] = [];
  const eligible = new Map<string, Selected[]>();
  for (const candidate of [...candidates].sort(inCallOrder)) {
    const staleness = stalenessOf(candidate, rules.baseVersion);
    const reason = reasonToLeaveOut(candidate, staleness, rules);
    if (reason !== undefined || staleness === null) {
      leftOut.push({ candidate, reason: reason ?? 'unknown_version', staleness });
      continue;
    }
    const own = eligible.get(candidate.rolloutId);
    if (own) own.push({ candidate, staleness });
    else eligible.set(candidate.rolloutId, [{ candidate, staleness }]);
  }
  const taken = new Set<string>();
  let steps = 0;
  for (const [rolloutId, own] of [...eligible].sort(newestFirst)) {
    if (steps + own.length > rules.maxSteps) continue;
    taken.add(rolloutId);
    steps += own.length;
  }
  const selected: Selected[] = [];
  for (const [rolloutId, own] of eligible) {
    if (taken.has(rolloutId)) selected.push(...own);
    else leftOut.push(...own.map((step) => ({ ...step, reason: 'limit' as const })));
  }
  return { selected, leftOut };
}

function reasonToLeaveOut(step: Candidate, staleness: number | null, rules: SelectionRules): LeftOutReason | undefined {
  const { sampling } = step;
  if (step.rolloutState === 'running' && step.mode !== 'live') return 'rollout_running';
  if (rules.grouped && step.taskId === null) return 'no_group';
  if (!step.rewarded) return 'no_reward';
  if (step.attemptId !== step.lastAttemptId) return 'superseded_attempt';
  if (step.state !== 'complete') return 'incomplete';
  if (step.quarantineReason !== null) return 'quarantined';
  if (!step.promptIds?.length || !step.completionIds?.length || step.logprobs?.length !== step.completionIds.length || sampling === null) return 'inexact';
  if (rules.agents !== undefined && !rules.agents.includes(step.agent)) return 'other_agent';
  if (sampling.temperature === 0) return 'greedy';
  if (!rules.acceptTruncatedSampling && (sampling.topP < 1 || sampling.topK > 0 || sampling.minP > 0)) return 'truncated_sampling';
  if (!rules.acceptTruncatedSampling && sampling.constrained === true) return 'constrained_sampling';
  if (sampling.biased === true || sampling.repetitionPenalty !== undefined || sampling.frequencyPenalty !== undefined || sampling.presencePenalty !== undefined) return 'penalized_sampling';
  if (staleness === null) return 'unknown_version';
  if (staleness > rules.maxStaleness) return 'stale';
  if (step.versionSpans?.some((span) => span.version > rules.baseVersion)) return 'newer_version';
  return undefined;
}

function stalenessOf(step: Candidate, baseVersion: number): number | null {
  if (!step.versionSpans?.length) return null;
  return baseVersion - Math.min(...step.versionSpans.map((span) => span.version));
}

/** By rollout, attempt, call and choice. */
export function inCallOrder(a: Candidate, b: Candidate): number {
  return compare(a.rolloutId, b.rolloutId) || compare(a.attemptId, b.attemptId) || a.sequence - b.sequence || a.choice - b.choice || compare(a.id, b.id);
}

function newestFirst([idA, a]: readonly [string, readonly Selected[]], [idB, b]: readonly [string, readonly Selected[]]): number {
  return newest(b) - newest(a) || compare(idB, idA);
}

function newest(steps: readonly Selected[]): number {
  return steps.reduce((latest, { candidate }) => Math.max(latest, candidate.createdAt), 0);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
