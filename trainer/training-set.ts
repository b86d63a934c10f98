/** From selected steps to steps with a credit each, dealt into minibatches. Pure. */
import type { CreditConfig } from '../config/algorithms.ts';
import type { TrainerConfig } from '../config/schema.ts';
import { deviation, groupBy, mean } from './advantage/statistics.ts';
import { layRewards, type RewardedRollout } from './credit/call-rewards.ts';
import { discountedCredit } from './credit/discounted.ts';
import { identicalCredit } from './credit/identical.ts';
import { rewardsToGo } from './credit/to-go.ts';
import { type GivenRewards, toTrainingStep, type TrainingStep } from './experience.ts';
import { seededRandom, shuffled } from './random.ts';
import type { Selected } from './select.ts';

export interface CreditedStep extends TrainingStep {
  /** Its share of its rollout's return. */
  readonly credit: number;
  readonly minibatch: number;
}

export interface TrainingSet {
  readonly steps: readonly CreditedStep[];
  readonly minibatches: number;
  readonly facts: {
    readonly rollouts: number;
    readonly groups: number;
    readonly steps: number;
    /** Completion tokens. */
    readonly tokens: number;
    /** Over rollouts; std with ddof 1, 0 for one rollout. */
    readonly rewardMean: number;
    readonly rewardStd: number;
    readonly stalenessMean: number;
  };
}

/**
 * A minibatch holds whole rollouts, dealt out by a seeded shuffle once for all epochs. Nothing but the arguments decides the result: a round that is run again
 * gets the same selection and rewards from its rows.
 */
export function buildTrainingSet(selected: readonly Selected[], rewards: GivenRewards, config: Pick<TrainerConfig, 'credit' | 'minibatches'>, seed: number): TrainingSet {
  const training = selected.map(toTrainingStep);
  const rollouts = [...groupBy(training, (step) => step.rolloutId)]
    .map(([rolloutId, own]) => ({ own, rewarded: layRewards(own.map((step) => step.sequence), rewards.get(rolloutId) ?? []) }));
  const credits = new Map(rollouts.flatMap(({ own, rewarded }) => {
    const shares = creditOf(config.credit, rewarded);
    return own.map((step, i) => [step.id, shares[i] as number]); // one share for each call
  }));
  const minibatches = Math.max(1, Math.min(config.minibatches, rollouts.length));
  const rolloutIds = [...new Set(training.map((step) => step.rolloutId))];
  const minibatchOf = new Map(shuffled(rolloutIds, seededRandom(seed)).map((rolloutId, i) => [rolloutId, i % minibatches]));
  const returns = rollouts.map(({ rewarded }) => rewarded.outcome);
  return {
    steps: training.map((step) => ({ ...step, credit: credits.get(step.id) ?? NaN, minibatch: minibatchOf.get(step.rolloutId) ?? NaN })),
    minibatches,
    facts: {
      rollouts: rollouts.length,
      groups: new Set(training.map((step) => step.taskId)).size,
      steps: training.length,
      tokens: training.reduce((sum, step) => sum + step.completionTokenIds.length, 0),
      rewardMean: mean(returns),
      rewardStd: deviation(returns),
      stalenessMean: mean(training.map((step) => step.staleness)),
    },
  };
}

/** With turn values a call's credit is what it earned itself: what it led to is for the value head to say (`algorithms/ppo.ts`). */
function creditOf(config: CreditConfig, rollout: RewardedRollout): Float64Array {
  switch (config.name) {
    case 'identical': return identicalCredit(rollout);
    case 'discounted': return discountedCredit(rollout, config.gamma);
    case 'intermediate': return rewardsToGo(rollout, config.gamma);
    default: return rollout.callRewards;
  }
}
