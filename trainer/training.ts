/** The gradient steps of a round: a training set and a policy in, a changed policy and its metrics out. Knows no database; the same input gives the same bytes. */
import type { TrainerConfig } from '../config/schema.ts';
import { mergeSteps, planMicroBatches, type PlannedMicroBatch, type TokenInputs } from './batch.ts';
import { TrainerError } from './error.ts';
import { grpoInputs } from './loss/grpo.ts';
import { accumulate, clipByGlobalNorm, learningRateFactor } from './optimizer.ts';
import type { TrainingPolicy } from './policy.ts';
import { referenceLogprobs } from './reference.ts';
import type { RoundProgress } from './round-progress.ts';
import { TokenStatistics } from './token-statistics.ts';
import type { TrainingSet, WeightedStep } from './training-set.ts';

export interface TrainingContext {
  readonly config: TrainerConfig;
  /** Loaded with the version that training starts from; afterwards trained. */
  readonly policy: TrainingPolicy;
  readonly progress: RoundProgress;
}

/** The KL after the last update is measured on one micro-batch in so many, to cost a fraction of a pass. */
const measuredEvery = 4;

/**
 * Trains in place; the metrics say how it went.
 * @throws TrainerError `not_finite`, `stopped`; then the policy is no version any more
 */
export async function trainPolicy(context: TrainingContext, set: TrainingSet): Promise<Record<string, number>> {
  const { config, policy, progress } = context;
  const minibatches = await planMinibatches(context, set);
  const trained = await update(context, set, minibatches);
  progress.phase('measure');
  const after = new TokenStatistics(config.algorithm);
  for (const plan of minibatches.flat().filter((_, i) => i % measuredEvery === 0)) {
    const result = await policy.learner.forward(plan.batch);
    addTokens(after, plan, set.steps, result);
    progress.check();
  }
  return { ...trained, policyKl: after.klFromBehaviour };
}

/** Epochs × minibatches: gradients of the micro-batches summed, clipped, one AdamW update each. */
async function update(context: TrainingContext, set: TrainingSet, minibatches: readonly PlannedMicroBatch[][]): Promise<Record<string, number>> {
  const { config, policy: { learner, optimizer }, progress } = context;
  const statistics = new TokenStatistics(config.algorithm);
  const sums = { loss: 0, gradNorm: 0, learningRate: 0, updates: 0 };
  progress.phase('train', config.epochs * minibatches.flat().length);
  context.policy.changing();
  for (let epoch = 0; epoch < config.epochs; epoch++) {
    for (const plans of minibatches) {
      if (plans.length === 0) continue;
      const gradients = new Map<string, Float32Array>();
      for (const plan of plans) {
        const result = await learner.forwardBackward(plan.batch);
        requireFinite(plan, set.steps, result);
        addTokens(statistics, plan, set.steps, result);
        accumulate(gradients, result.gradients);
        sums.loss += result.loss;
        progress.advance();
      }
      sums.gradNorm += clipByGlobalNorm(gradients, config.optimizer.maxGradNorm);
      const learningRate = config.optimizer.learningRate * learningRateFactor(config.optimizer, optimizer.step);
      optimizer.update(gradients, learningRate);
      sums.learningRate = learningRate;
      sums.updates++;
    }
  }
  const { ratioMean, ratioMax, clipFraction, entropy } = statistics;
  return {
    loss: sums.loss / sums.updates, gradNorm: sums.gradNorm / sums.updates, learningRate: sums.learningRate, updates: sums.updates,
    ratioMean, ratioMax, clipFraction, entropy, trainedTokens: statistics.tokens,
  };
}

/** Rows and micro-batches of each minibatch. Rows whose loss is 0 whatever the policy (no advantage, no other term) are not computed. */
async function planMinibatches(context: TrainingContext, set: TrainingSet): Promise<PlannedMicroBatch[][]> {
  const { config: { algorithm, tokensPerMicroBatch }, policy, progress } = context;
  const { steps } = set;
  const always = algorithm.klCoefficient > 0 || algorithm.entropyCoefficient > 0;
  const rows = mergeSteps(steps).filter((row) => always || row.segments.some((segment) => steps[segment.step]?.advantage !== 0));
  const inMinibatch = (step: number): number => stepAt(steps, step).minibatch;
  const tokensOf = Array.from({ length: set.minibatches }, (_, minibatch) => steps.reduce((sum, step) => sum + (step.minibatch === minibatch ? step.completionTokenIds.length : 0), 0));

  progress.phase('reference');
  const reference = algorithm.klCoefficient > 0 ? await referenceLogprobs(policy, rows, steps, tokensPerMicroBatch) : undefined;
  const every: Record<ReturnType<typeof grpoInputs>[number], TokenInputs[string]> = {
    behaviourLogprob: (step, token) => stepAt(steps, step).behaviourLogprobs[token] ?? NaN,
    advantage: (step) => stepAt(steps, step).advantage,
    weight: (step) => stepAt(steps, step).tokenWeight,
    referenceLogprob: (step, token) => reference?.[step]?.[token] ?? NaN,
    entropyWeight: (step) => algorithm.entropyCoefficient / (tokensOf[inMinibatch(step)] ?? NaN),
  };
  const inputs = Object.fromEntries(grpoInputs(algorithm).map((name) => [name, every[name]]));
  return tokensOf.map((_, minibatch) => planMicroBatches(rows.filter((row) => inMinibatch(row.segments[0]?.step ?? -1) === minibatch), tokensPerMicroBatch, inputs));
}

function addTokens(statistics: TokenStatistics, plan: PlannedMicroBatch, steps: readonly WeightedStep[], result: { logprobs: Float32Array; entropy: Float32Array }): void {
  for (const [m, index] of plan.stepOfEntry.entries()) {
    const step = stepAt(steps, index);
    statistics.add({
      logprob: result.logprobs[m] ?? NaN,
      behaviourLogprob: step.behaviourLogprobs[plan.tokenOfEntry[m] ?? -1] ?? NaN,
      advantage: step.advantage,
      entropy: result.entropy[m] ?? NaN,
    });
  }
}

/** @throws TrainerError `not_finite`, naming the first step whose numbers are not, or else the steps that were computed together */
function requireFinite(plan: PlannedMicroBatch, steps: readonly WeightedStep[], result: { loss: number; logprobs: Float32Array; gradients: ReadonlyMap<string, Float32Array> }): void {
  const culprit = plan.stepOfEntry.find((index, m) => !Number.isFinite(result.logprobs[m]) || !Number.isFinite(steps[index]?.behaviourLogprobs[plan.tokenOfEntry[m] ?? -1]));
  const broken = [...result.gradients].find(([, gradient]) => !Number.isFinite(gradient.reduce((sum, g) => sum + g, 0)))?.[0];
  if (culprit === undefined && broken === undefined && Number.isFinite(result.loss)) return;
  const ids = [...new Set(plan.stepOfEntry)].map((index) => stepAt(steps, index).id);
  const who = culprit === undefined ? `steps ${ids.slice(0, 4).join(', ')}${ids.length > 4 ? ` and ${ids.length - 4} more` : ''}` : `step ${stepAt(steps, culprit).id}`;
  throw new TrainerError('not_finite', `The ${broken === undefined ? `loss is ${result.loss}` : `gradient of ${broken} is not finite`} on ${who}; nothing was published. Lower the learning rate, or look at that step's log-probs.`);
}

function stepAt(steps: readonly WeightedStep[], index: number): WeightedStep {
  const step = steps[index];
  if (step === undefined) throw new Error(`a row refers to step ${index} of ${steps.length}`);
  return step;
}
