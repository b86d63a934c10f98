/** From selected steps to weighted training steps: credit → advantages → minibatches and weights. Pure. */
import type { TrainerConfig } from '../config/schema.ts';
import { groupAdvantages } from './advantage/group.ts';
import { deviation, groupBy, mean } from './advantage/statistics.ts';
import { layRewards } from './credit/call-rewards.ts';
import { identicalCredit } from './credit/identical.ts';
import { type GivenRewards, toTrainingStep, type TrainingStep } from './experience.ts';
import { tokenWeights } from './loss/aggregation.ts';
import { seededRandom, shuffled } from './random.ts';
import type { Selected } from './select.ts';

export interface WeightedStep extends TrainingStep {
  /** Its share of its rollout's return. */
  readonly credit: number;
  readonly advantage: number;
  /** Of each of its tokens, in the loss of its minibatch. */
  readonly tokenWeight: number;
  readonly minibatch: number;
}

export interface TrainingSet {
  readonly steps: readonly WeightedStep[];
  readonly minibatches: number;
  readonly facts: {
    readonly rollouts: number;
    readonly groups: number;
    /** Groups whose rollouts differ: only they teach. */
    readonly groupsWithSignal: number;
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
 * A minibatch holds whole rollouts, dealt out by a seeded shuffle once for all epochs. The token weights of each minibatch sum to 1, so its loss is a
 * mean over its own tokens, calls or rollouts, as `algorithm.aggregation` says. Nothing but the arguments decides the result: a round that is run again gets
 * the same selection and rewards from its rows.
 */
export function buildTrainingSet(selected: readonly Selected[], rewards: GivenRewards, config: TrainerConfig, seed: number): TrainingSet {
  const training = selected.map(toTrainingStep);
  const rollouts = [...groupBy(training.keys(), (i) => training[i]?.rolloutId ?? '')].map(([rolloutId, own]) => (
    { rolloutId, own, rewarded: layRewards(own.map((i) => training[i]?.sequence ?? 0), rewards.get(rolloutId) ?? []) }
  ));
  const rolloutIds = rollouts.map((rollout) => rollout.rolloutId);

  const credits = new Float64Array(training.length);
  for (const { own, rewarded } of rollouts) identicalCredit(rewarded).forEach((credit, k) => { credits[own[k] ?? -1] = credit; });
  const { group: unit, normalizeByStd, epsilon } = config.algorithm;
  const advantages = groupAdvantages(training.map((step, i) => ({ ...step, credit: at(credits, i) })), { unit, scale: normalizeByStd ? 'group' : 'none', epsilon, groupOfOne: 'zero' });

  const minibatches = Math.max(1, Math.min(config.minibatches, rolloutIds.length));
  const minibatchOf = new Map(shuffled(rolloutIds, seededRandom(seed)).map((rolloutId, i) => [rolloutId, i % minibatches]));
  const weights = new Float64Array(training.length);
  for (let minibatch = 0; minibatch < minibatches; minibatch++) {
    const own = [...training.keys()].filter((i) => minibatchOf.get(training[i]?.rolloutId ?? '') === minibatch);
    const calls = own.map((i) => ({ rolloutId: training[i]?.rolloutId ?? '', tokens: training[i]?.completionTokenIds.length ?? 0 }));
    tokenWeights(calls, config.algorithm.aggregation).forEach((weight, k) => { weights[own[k] ?? -1] = weight; });
  }

  const steps = training.map((step, i): WeightedStep => ({
    ...step, credit: at(credits, i), advantage: at(advantages, i), tokenWeight: at(weights, i), minibatch: minibatchOf.get(step.rolloutId) ?? 0,
  }));
  const returns = rollouts.map(({ rewarded }) => rewarded.outcome);
  return {
    steps, minibatches,
    facts: {
      rollouts: rolloutIds.length,
      groups: new Set(steps.map((step) => step.taskId)).size,
      groupsWithSignal: new Set(steps.filter((step) => step.advantage !== 0).map((step) => step.taskId)).size,
      steps: steps.length,
      tokens: steps.reduce((sum, step) => sum + step.completionTokenIds.length, 0),
      rewardMean: mean(returns),
      rewardStd: deviation(returns),
      stalenessMean: mean(steps.map((step) => step.staleness)),
    },
  };
}

function at(values: Float64Array, i: number): number {
  return values[i] as number; // one value was computed for each step
}
