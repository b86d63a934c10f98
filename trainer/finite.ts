/** Numbers that are not finite end a round; whose they are is found out, so that the sentence can name the step. */
import type { PlannedMicroBatch } from './batch.ts';
import { TrainerError } from './error.ts';
import type { BackwardResult, Learner, MicroBatch } from './learner.ts';

interface NamedStep {
  readonly id: string;
  readonly behaviourLogprobs: Float32Array;
}

/**
 * @param steps what the plan's indices refer to
 * @throws TrainerError `not_finite` naming the step, or all that were computed together where none alone is the cause
 */
export async function requireFinite(learner: Learner, plan: PlannedMicroBatch, steps: readonly NamedStep[], result: BackwardResult): Promise<void> {
  const recorded = firstStep(plan, (index, token) => steps[index]?.behaviourLogprobs[token]);
  if (recorded !== undefined) throw refusal(`Step ${idOf(steps, recorded)} has a recorded log-prob that is not a finite number`, { stepId: idOf(steps, recorded) });
  const broken = describe(result);
  if (broken === undefined) return;
  const computed = firstStep(plan, (_index, _token, m) => result.logprobs[m]);
  const culprit = computed ?? await isolate(learner, plan, [...new Set(plan.stepOfEntry)]);
  if (culprit !== undefined) throw refusal(`${broken} on step ${idOf(steps, culprit)}`);
  const ids = [...new Set(plan.stepOfEntry)].map((index) => idOf(steps, index));
  throw refusal(`${broken} on steps ${ids.slice(0, 4).join(', ')}${ids.length > 4 ? ` and ${ids.length - 4} more` : ''} together`);
}

function refusal(what: string, blame?: { readonly stepId: string }): TrainerError {
  return new TrainerError('not_finite', `${what}, so nothing was published${blame ? ', and no later round takes it' : ': look at its log-probs and its reward, or lower the learning rate'}.`, blame);
}

/** What is not finite, as the beginning of a sentence. */
function describe({ loss, gradients }: BackwardResult): string | undefined {
  const parameter = [...gradients].find(([, gradient]) => !Number.isFinite(gradient.reduce((sum, g) => sum + g, 0)))?.[0];
  if (parameter !== undefined) return `The gradient of ${parameter} is not finite`;
  return Number.isFinite(loss) ? undefined : `The loss is ${loss}`;
}

function firstStep({ stepOfEntry, tokenOfEntry }: PlannedMicroBatch, value: (index: number, token: number, m: number) => number | undefined): number | undefined {
  return stepOfEntry.find((index, m) => !Number.isFinite(value(index, tokenOfEntry[m] ?? -1, m)));
}

/** Halves the steps until one is left that is not finite by itself. */
async function isolate(learner: Learner, plan: PlannedMicroBatch, suspects: readonly number[]): Promise<number | undefined> {
  const isBroken = async (indices: readonly number[]): Promise<boolean> => describe(await learner.forwardBackward(onlySteps(plan, indices))) !== undefined;
  let left = suspects;
  while (left.length > 1) {
    const half = left.slice(0, Math.ceil(left.length / 2));
    left = await isBroken(half) ? half : left.slice(half.length);
  }
  return await isBroken(left) ? left[0] : undefined;
}

/** The same rows with fewer trained tokens: those of some steps. */
function onlySteps({ batch, stepOfEntry }: PlannedMicroBatch, indices: readonly number[]): MicroBatch {
  const kept = [...stepOfEntry.keys()].filter((m) => indices.includes(stepOfEntry[m] ?? -1));
  const ints = (values: Int32Array): Int32Array => Int32Array.from(kept, (m) => values[m] ?? -1);
  const floats = (values: Float32Array): Float32Array => Float32Array.from(kept, (m) => values[m] ?? NaN);
  return {
    ...batch, positions: ints(batch.positions), targets: ints(batch.targets), temperature: floats(batch.temperature),
    perToken: Object.fromEntries(Object.entries(batch.perToken).map(([name, values]) => [name, floats(values)])),
    // Below M, as they must be: the place of a step among those that are kept.
    ...(batch.sequences && { sequences: Int32Array.from(kept, (m) => indices.indexOf(stepOfEntry[m] ?? -1)) }),
  };
}

function idOf(steps: readonly NamedStep[], index: number): string {
  return steps[index]?.id ?? `${index} of ${steps.length}`;
}
