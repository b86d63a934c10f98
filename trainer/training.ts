/** The gradient steps of a round: a training set and a policy in, a changed policy and its metrics out. Knows no database; the same input gives the same bytes. */
import { algorithmOf } from './algorithms/index.ts';
import { mergeSteps, planMicroBatches, type PlannedMicroBatch, type TokenInputs } from './batch.ts';
import { requireFinite, requireFiniteParameters } from './finite.ts';
import type { ForwardResult } from './learner.ts';
import { type LossInput, lossInputs } from './loss/policy-loss.ts';
import type { PolicyLossSpec } from './loss/spec.ts';
import { accumulate, clipByGlobalNorm, learningRateFactor } from './optimizer.ts';
import { LogprobComparison, mismatchMetrics, requireAgreement } from './self-test.ts';
import { TokenStatistics } from './token-statistics.ts';
import { teaches, type WeighingContext, type WeightedSet, type WeightedStep } from './weighted-set.ts';

/** The KL after the last update is measured on one micro-batch in so many, to cost a fraction of a pass. */
const measuredEvery = 4;

/**
 * Trains in place; the metrics say how it went.
 * @throws TrainerError `not_enough_memory`; `logprob_mismatch`, `not_finite`, `stopped`: then the policy is no version any more
 */
export async function trainPolicy(context: WeighingContext, set: WeightedSet): Promise<Record<string, number>> {
  const { config, policy, progress } = context;
  const { loss } = algorithmOf(config);
  const minibatches = planMinibatches(context, loss, set);
  const memory = await policy.learner.plan(minibatches.flat().map(({ batch }) => batch));
  const trained = await update(context, loss, set, minibatches);
  progress.phase('measure');
  const after = new TokenStatistics(loss.policy);
  for (const plan of minibatches.flat().filter((_, i) => i % measuredEvery === 0)) {
    const result = await policy.learner.forward(plan.batch);
    addTokens(after, plan, set.steps, result);
    progress.check();
  }
  requireFiniteParameters(policy.learner.parameters);
  return { ...trained, policyKl: after.klFromBehaviour, estimatedPeakMb: memory.peakBytes / 2 ** 20, recomputes: Number(memory.recompute) };
}

/** Epochs × minibatches: gradients of the micro-batches summed, clipped, one AdamW update each. */
async function update(context: WeighingContext, loss: PolicyLossSpec, set: WeightedSet, minibatches: readonly PlannedMicroBatch[][]): Promise<Record<string, number>> {
  const { config, policy: { learner, optimizer }, progress } = context;
  const statistics = new TokenStatistics(loss.policy);
  const sums = { loss: 0, gradNorm: 0, learningRate: 0, updates: 0 };
  progress.phase('train', config.epochs * minibatches.flat().length);
  // Until the first update the policy is the version that sampled the freshest steps: a self-test that costs nothing.
  const before = new LogprobComparison();
  const version = context.policy.version;
  context.policy.changing();
  for (let epoch = 0; epoch < config.epochs; epoch++) {
    for (const plans of minibatches) {
      if (plans.length === 0) continue;
      const gradients = new Map<string, Float32Array>();
      for (const plan of plans) {
        const result = await learner.forwardBackward(plan.batch);
        await requireFinite(learner, plan, set.steps, result);
        if (sums.updates === 0) before.add(plan, set.steps, result.logprobs, (step) => step.staleness === 0);
        addTokens(statistics, plan, set.steps, result);
        accumulate(gradients, result.gradients);
        sums.loss += result.loss;
        progress.advance();
      }
      if (sums.updates === 0) requireAgreement(before.mismatch(), version, config.maxLogprobMismatch);
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
    ratioMean, ratioMax, clipFraction, entropy, trainedTokens: statistics.tokens, ...mismatchMetrics(before.mismatch()),
  };
}

/** Rows and micro-batches of each minibatch. Rows that teach nothing whatever the policy (no advantage, no other term, or left out) are not computed. */
function planMinibatches({ config }: WeighingContext, loss: PolicyLossSpec, { steps, minibatches }: WeightedSet): PlannedMicroBatch[][] {
  const inputs = inputsOf(loss, steps);
  const rows = mergeSteps(steps).filter((row) => row.segments.some((segment) => teaches(stepAt(steps, segment.step), loss)));
  return Array.from({ length: minibatches }, (_, minibatch) => (
    planMicroBatches(rows.filter((row) => stepAt(steps, row.segments[0]?.step ?? -1).minibatch === minibatch), config.tokensPerMicroBatch, inputs)
  ));
}

function inputsOf(loss: PolicyLossSpec, steps: readonly WeightedStep[]): TokenInputs {
  const array = (of: (step: WeightedStep) => ArrayLike<number> | undefined) => (step: number, token: number): number => of(stepAt(steps, step))?.[token] ?? NaN;
  const every: Record<LossInput, TokenInputs[string]> = {
    advantage: array((step) => step.advantages),
    trained: () => 1,
    oldLogprob: array((step) => step.oldLogprobs),
    behaviourLogprob: array((step) => step.behaviourLogprobs),
    referenceLogprob: array((step) => step.referenceLogprobs),
    weight: array((step) => step.weights.weight),
    klWeight: array((step) => step.weights.klWeight),
    entropyWeight: array((step) => step.weights.entropyWeight),
    valueWeight: array((step) => step.weights.valueWeight),
    importanceWeight: array((step) => step.weights.importanceWeight),
    oldValue: array((step) => step.values),
    return: array((step) => step.returns),
  };
  return Object.fromEntries(lossInputs(loss).map((name) => [name, every[name]]));
}

/** A step's tokens are one after the other in a micro-batch, and all in it. */
function addTokens(statistics: TokenStatistics, plan: PlannedMicroBatch, steps: readonly WeightedStep[], result: ForwardResult): void {
  for (let from = 0; from < plan.stepOfEntry.length;) {
    const step = stepAt(steps, plan.stepOfEntry[from] ?? -1);
    const to = from + step.completionTokenIds.length;
    statistics.addCall({ ...step, logprobs: result.logprobs.subarray(from, to), entropy: result.entropy.subarray(from, to) });
    from = to;
  }
}

function stepAt(steps: readonly WeightedStep[], index: number): WeightedStep {
  const step = steps[index];
  if (step === undefined) throw new Error(`a row refers to step ${index} of ${steps.length}`);
  return step;
}
