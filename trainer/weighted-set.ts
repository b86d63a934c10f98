/** What each token of a training set is to teach: its advantage, and its weights in the loss. Runs the policy only where the algorithm asks what only it can say. */
import type { TrainerConfig } from '../config/schema.ts';
import { deviation, mean } from './advantage/statistics.ts';
import { type Algorithm, algorithmOf, type Call, type TokenAdvantages } from './algorithms/index.ts';
import { mergeSteps } from './batch.ts';
import type { PolicyLossSpec } from './loss/spec.ts';
import { type TokenWeights, weighTokens } from './loss/weigh-tokens.ts';
import type { TrainingPolicy } from './policy.ts';
import { recompute } from './recompute.ts';
import type { RoundProgress } from './round-progress.ts';
import type { CreditedStep, TrainingSet } from './training-set.ts';

/** Arrays are `[completion]`. */
export interface WeightedStep extends CreditedStep, TokenAdvantages {
  readonly weights: TokenWeights;
  /** Under the policy at the start of the round; without a correction that compares the two, the behaviour log-probs. */
  readonly oldLogprobs: Float32Array;
  readonly referenceLogprobs?: Float32Array;
  /** V(s_t) at the start of the round. */
  readonly values?: Float32Array;
}

export interface WeightedSet {
  readonly steps: readonly WeightedStep[];
  readonly minibatches: number;
  readonly facts: TrainingSet['facts'] & {
    /** Groups whose rollouts differ: only they teach what to do. */
    readonly groupsWithSignal: number;
    /** Tokens that count nowhere: dropped, rejected, or of a group that was left out. */
    readonly uncountedTokens: number;
    /** Mean importance weight of the calls that count, where there are any. */
    readonly importanceMean?: number;
    /** 1 − Var(return − value) / Var(return) of the value head before training. */
    readonly explainedVariance?: number;
  };
}

export interface WeighingContext {
  readonly config: TrainerConfig;
  /** Loaded with the version that training starts from. */
  readonly policy: TrainingPolicy;
  readonly progress: RoundProgress;
}

/** Whether a step's loss depends on the policy: a token of it counts, and has an advantage or another term of the loss. */
export function teaches({ advantages, weights }: WeightedStep, { kl, entropy, value }: PolicyLossSpec): boolean {
  const others = kl !== undefined || entropy !== undefined || value !== undefined;
  return weights.weight.some((weight, t) => weight !== 0 && (others || advantages[t] !== 0));
}

/** @throws TrainerError `stopped` */
export async function weighTrainingSet(context: WeighingContext, set: TrainingSet): Promise<WeightedSet> {
  const algorithm = algorithmOf(context.config);
  const measured = await measureSteps(context, set, algorithm);
  const valued = valueSteps(algorithm, measured);
  const steps = weighSteps(algorithm, valued, set.minibatches);
  return { steps, minibatches: set.minibatches, facts: { ...set.facts, ...factsOf(steps, algorithm.loss) } };
}

type MeasuredStep = CreditedStep & Pick<WeightedStep, 'oldLogprobs' | 'referenceLogprobs' | 'values'>;
type ValuedStep = MeasuredStep & TokenAdvantages;

/** Forward passes over all steps: by the policy where its own log-probs or values are needed, by the base model where a KL to it is. */
async function measureSteps({ config, policy, progress }: WeighingContext, { steps }: TrainingSet, { loss, rewardsHoldReference }: Algorithm): Promise<MeasuredStep[]> {
  const comparesOld = loss.importance !== undefined || loss.rejection !== undefined;
  const rows = mergeSteps(steps);
  const run = () => recompute(policy.learner, rows, steps, config.tokensPerMicroBatch, progress);
  if (comparesOld || loss.value) progress.phase('recompute');
  const own = comparesOld || loss.value ? await run() : null;
  if (loss.kl || rewardsHoldReference) progress.phase('reference');
  const reference = loss.kl || rewardsHoldReference ? await policy.withReference(run) : null;
  return steps.map((step, i) => {
    const values = loss.value && own?.values[i];
    const referenceLogprobs = reference?.logprobs[i];
    return {
      ...step, oldLogprobs: (comparesOld ? own?.logprobs[i] : undefined) ?? step.behaviourLogprobs,
      ...(referenceLogprobs ? { referenceLogprobs } : {}), ...(values ? { values } : {}),
    };
  });
}

function valueSteps(algorithm: Algorithm, steps: readonly MeasuredStep[]): ValuedStep[] {
  const calls: Call[] = steps.map((step) => ({ ...step, tokens: step.completionTokenIds.length }));
  const advantages = algorithm.advantages(calls);
  return steps.map((step, i) => ({ ...step, ...advantages[i] as TokenAdvantages })); // one for each call
}

/** The aggregations are over each minibatch, so that its loss is a mean of its own. */
function weighSteps(algorithm: Algorithm, steps: readonly ValuedStep[], minibatches: number): WeightedStep[] {
  const differing = groupsThatDiffer(steps);
  const taken = (step: ValuedStep): boolean => algorithm.dropsEvenGroups !== true || differing.has(step.taskId);
  const weights = new Map<string, TokenWeights>();
  for (let minibatch = 0; minibatch < minibatches; minibatch++) {
    const own = steps.filter((step) => step.minibatch === minibatch && taken(step));
    const sequences = own.map((step) => ({ ...step, tokens: step.completionTokenIds.length }));
    weighTokens(algorithm.loss, sequences).forEach((weight, i) => weights.set(own[i]?.id ?? '', weight));
  }
  return steps.map((step) => ({ ...step, weights: weights.get(step.id) ?? noWeights(step.completionTokenIds.length) }));
}

function groupsThatDiffer(steps: readonly ValuedStep[]): Set<string> {
  return new Set(steps.filter((step) => step.advantages.some((advantage) => advantage !== 0)).map((step) => step.taskId));
}

function noWeights(tokens: number): TokenWeights {
  const none = new Float64Array(tokens);
  return { weight: none, klWeight: none, entropyWeight: none, valueWeight: none, importanceWeight: none };
}

function factsOf(steps: readonly WeightedStep[], loss: PolicyLossSpec) {
  const counted = steps.filter((step) => step.weights.weight.some((weight) => weight !== 0));
  const returns = steps.flatMap((step) => [...step.returns ?? []]);
  const errors = steps.flatMap((step) => Array.from(step.returns ?? [], (target, t) => target - (step.values?.[t] ?? NaN)));
  return {
    groupsWithSignal: groupsThatDiffer(steps).size,
    uncountedTokens: steps.reduce((sum, { weights }) => sum + weights.weight.filter((weight) => weight === 0).length, 0),
    ...(loss.importance ? { importanceMean: mean(counted.flatMap((step) => [...step.weights.importanceWeight])) } : {}),
    ...(loss.value && deviation(returns) > 0 ? { explainedVariance: 1 - (deviation(errors) / deviation(returns)) ** 2 } : {}),
  };
}
