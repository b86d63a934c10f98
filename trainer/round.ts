/**
 * One training round, top to bottom: plan (select) → credit → advantages → self-test → forward, backward, AdamW → publish → promote.
 * The same plan gives the same bytes.
 */
import { join } from 'node:path';
import type { TrainerConfig } from '../config/schema.ts';
import { readMeta, writeMeta } from '../store/meta.ts';
import type { Database } from '../store/open.ts';
import { nextVersion } from '../store/policies.ts';
import { recordStepShares, type StepShare } from '../store/round-steps.ts';
import { finishRound, publishRound, type Round } from '../store/rounds.ts';
import { mean } from './advantage/statistics.ts';
import { algorithmOf } from './algorithms/index.ts';
import { environment } from './environment.ts';
import { requireFiniteRecords } from './finite.ts';
import { policyVersion, type TrainingPolicy } from './policy.ts';
import { publishPolicy, removePolicy } from './publish.ts';
import { planRound, recordedPlan, type RoundPlan, setupOf } from './round-plan.ts';
import type { RoundProgress } from './round-progress.ts';
import { comparableSteps, measureMismatch, requireAgreement } from './self-test.ts';
import { trainPolicy } from './training.ts';
import { buildTrainingSet, type TrainingSet } from './training-set.ts';
import { teaches, weighTrainingSet, type WeightedSet } from './weighted-set.ts';

export interface RoundParts {
  readonly db: Database;
  /** Fingerprint of the base model. */
  readonly model: string;
  /** What sampled the steps: the backend's configuration. */
  readonly sampler: unknown;
  /** What a round's own configuration is laid over. */
  readonly trainer: TrainerConfig;
  /** A policy for a configuration, with any version's parameters. */
  readonly openPolicy: (config: TrainerConfig) => Promise<TrainingPolicy>;
  readonly progress: RoundProgress;
}

/** Enough to measure a mismatch to a percent, few enough to cost little. */
const selfTestSteps = 64;

/**
 * Goes on with a round that was planned before, or plans it. Ends it `promoted`, `published` or `empty`.
 * @throws TrainerError; then nothing is published, and the round is the caller's to end
 */
export async function runRound(parts: RoundParts, round: Round): Promise<Round> {
  const { db, progress } = parts;

  progress.phase('select');
  const plan = recordedPlan(db, round) ?? planRound(db, round.id, setupOf(db, parts.trainer, round));
  const { config, baseVersion, seed } = plan;
  const policy = await parts.openPolicy(config);
  policy.load(policyVersion(db, baseVersion), seed);

  const credited = buildTrainingSet(plan.selected, plan.rewards, config, seed);
  requireFiniteRecords(credited.steps);
  await selfTest(parts, policy, plan, credited);
  const set = await weighTrainingSet({ config, policy, progress }, credited);
  recordStepShares(db, round.id, sharesOf(set));
  const facts = { ...set.facts, leftOut: plan.leftOut };
  const nothing = reasonForNothing(set, plan.leftOut, config);
  if (nothing !== undefined) return finishRound(db, round.id, { state: 'empty', error: nothing, metrics: { ...facts, ...progress.seconds() } });

  const trained = await trainPolicy({ config, policy, progress }, set);

  progress.phase('publish');
  const version = nextVersion(db);
  const { directory, sha256 } = publishPolicy(
    db.dataDir,
    { version, kind: policy.kind, parentVersion: baseVersion, roundId: round.id, model: parts.model, createdAt: Date.now() },
    (target) => { policy.write(target); },
  );
  const metrics = {
    ...facts,
    ...trained,
    ...progress.seconds(),
    peakRssMb: process.resourceUsage().maxRSS / 1024,
  };
  try {
    const ended = publishRound(db, { roundId: round.id, policy: { version, kind: policy.kind, parentVersion: baseVersion, directory, sha256 }, metrics, promote: round.promote });
    policy.published(version);
    return ended.round;
  } catch (error) {
    // Not recorded, so nobody knows of it: the number must be free for the next round.
    removePolicy(join(db.dataDir, directory));
    throw error;
  }
}

/**
 * Before the first round, and after each change of what samples or what trains: the policy of the plan recomputes what its own version has sampled.
 * Other rounds notice a disagreement in their first pass (`trainPolicy`), before the first update. @throws TrainerError `logprob_mismatch`
 */
async function selfTest({ db, sampler, model, progress }: RoundParts, policy: TrainingPolicy, { config, baseVersion }: RoundPlan, { steps }: TrainingSet): Promise<void> {
  const tested = JSON.stringify({ sampler, model, method: config.method, device: config.device, lora: config.lora, ...environment() });
  if (readMeta(db, 'self_test') === tested) return;
  progress.phase('self-test');
  const mismatch = await measureMismatch(policy.learner, comparableSteps(steps, baseVersion, selfTestSteps), config.tokensPerMicroBatch);
  requireAgreement(mismatch, baseVersion, config.maxLogprobMismatch);
  if (mismatch) writeMeta(db, 'self_test', tested);
}

/** What training makes of each step, as the rows hold it; an advantage is the mean of its tokens'. */
export function sharesOf({ steps, minibatches }: WeightedSet): StepShare[] {
  return steps.map((step) => ({
    stepId: step.id, credit: step.credit, advantage: meanOf(step.advantages), weight: step.weights.weight.reduce((sum, weight) => sum + weight, 0) / minibatches,
  }));
}

/** Exact where all are equal. */
function meanOf(advantages: Float64Array): number {
  const [first = 0] = advantages;
  return advantages.every((advantage) => advantage === first) ? first : mean(advantages);
}

function reasonForNothing({ steps, facts }: WeightedSet, leftOut: number, config: TrainerConfig): string | undefined {
  if (steps.length === 0) return leftOut === 0 ? 'There are no new steps of training rollouts.' : `All ${leftOut} new steps were left out; round_steps says why.`;
  const { grouped, loss } = algorithmOf(config);
  // A value head learns from what was to be expected, too.
  if (facts.groupsWithSignal === 0 && loss.value === undefined) {
    const same = grouped ? `In none of the ${facts.groups} groups do the rollouts' returns differ` : `The returns of the ${facts.rollouts} rollouts do not differ`;
    return `${same} (mean ${facts.rewardMean.toPrecision(3)}), so there is nothing to learn: use more rollouts${grouped ? ' a task' : ''}, other tasks, or a finer reward.`;
  }
  return steps.some((step) => teaches(step, loss)) ? undefined : 'No token that teaches something counts: trainer.correction.rejection or dropTruncated left them all out.';
}
