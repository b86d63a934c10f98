/**
 * One training round, top to bottom: select → credit → advantages → batch → self-test → forward, backward, AdamW → publish → promote.
 * Same rows, same configuration, same seed: the same bytes.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Database } from '../store/open.ts';
import { nextVersion } from '../store/policies.ts';
import { insertRoundSteps, publishRound, type Round, finishRound } from '../store/rounds.ts';
import { readExperience } from './experience.ts';
import { publishPolicy } from './publish.ts';
import { type LeftOut, selectSteps } from './select.ts';
import { comparableSteps, measureMismatch, requireAgreement } from './self-test.ts';
import { type TrainingContext, trainPolicy } from './training.ts';
import { buildTrainingSet, type TrainingSet } from './training-set.ts';

/** With the effective configuration of this round. */
export interface RoundContext extends TrainingContext {
  readonly db: Database;
  readonly seed: number;
  readonly baseVersion: number;
  /** Fingerprint of the base model. */
  readonly model: string;
}

/** Enough to measure a mismatch to a percent, few enough to cost little. */
const selfTestSteps = 64;

/**
 * Ends the round `promoted`, `published` or `empty`.
 * @throws TrainerError `logprob_mismatch`, `not_finite`, `stopped`; then nothing is published, and the round is the caller's to end
 */
export async function runRound(context: RoundContext, round: Round): Promise<Round> {
  const { db, config, policy, baseVersion, progress } = context;

  progress.phase('select');
  const experience = readExperience(db, config.maxSteps);
  const { selected, leftOut } = selectSteps(experience.candidates, { ...config, baseVersion });
  const set = buildTrainingSet(selected, experience.rewards, config, context.seed);
  recordRoundSteps(db, round.id, set, leftOut);
  const facts = { ...set.facts, leftOut: leftOut.length };
  const nothing = reasonForNothing(facts);
  if (nothing !== undefined) return finishRound(db, round.id, { state: 'empty', error: nothing, metrics: { ...facts, ...progress.seconds() } });

  progress.phase('self-test');
  const mismatch = await measureMismatch(policy.learner, comparableSteps(set.steps, baseVersion, selfTestSteps), config.tokensPerMicroBatch);
  if (mismatch) requireAgreement(mismatch, baseVersion, config.maxLogprobMismatch);

  const trained = await trainPolicy(context, set);

  progress.phase('publish');
  const version = nextVersion(db);
  const { directory, sha256 } = publishPolicy(
    db.dataDir,
    { version, kind: policy.kind, parentVersion: baseVersion, roundId: round.id, model: context.model, createdAt: Date.now() },
    (target) => { policy.write(target); },
  );
  const metrics = {
    ...facts,
    ...trained,
    ...(mismatch ? { selfTestMean: mismatch.meanAbsolute, selfTestMax: mismatch.maxAbsolute, selfTestKl: mismatch.kl, selfTestTokens: mismatch.tokens } : {}),
    ...progress.seconds(),
    peakRssMb: process.resourceUsage().maxRSS / 1024,
  };
  try {
    const ended = publishRound(db, { roundId: round.id, policy: { version, kind: policy.kind, parentVersion: baseVersion, directory, sha256 }, metrics, promote: round.promote });
    policy.published(version);
    return ended.round;
  } catch (error) {
    // Not recorded, so nobody knows of it: the number must be free for the next round.
    rmSync(join(db.dataDir, directory), { recursive: true, force: true });
    throw error;
  }
}

function recordRoundSteps(db: Database, roundId: number, { steps, minibatches }: TrainingSet, leftOut: readonly LeftOut[]): void {
  insertRoundSteps(db, roundId, [
    ...steps.map((step) => ({
      stepId: step.id, credit: step.credit, advantage: step.advantage, weight: (step.tokenWeight * step.completionTokenIds.length) / minibatches,
      staleness: step.staleness, leftOutReason: null,
    })),
    ...leftOut.map(({ candidate, reason, staleness }) => ({ stepId: candidate.id, credit: null, advantage: null, weight: null, staleness, leftOutReason: reason })),
  ]);
}

function reasonForNothing(facts: TrainingSet['facts'] & { leftOut: number }): string | undefined {
  if (facts.steps === 0) return facts.leftOut === 0 ? 'There are no new steps of training rollouts.' : `All ${facts.leftOut} new steps were left out; round_steps says why.`;
  if (facts.groupsWithSignal === 0) return `In none of the ${facts.groups} groups do the rollouts' returns differ (mean ${facts.rewardMean.toPrecision(3)}), so there is nothing to learn: use more rollouts a task, other tasks, or a finer reward.`;
  return undefined;
}
