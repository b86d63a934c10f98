/** Numbers that are not finite end a round; whose they are is found out, so that the sentence can name the step. */
import type { PlannedMicroBatch } from './batch.ts';
import { TrainerError } from './error.ts';
import type { BackwardResult, Learner, MicroBatch } from './learner.ts';

interface NamedStep {
  readonly id: string;
}

/** @throws TrainerError `not_finite` with the `stepId` of a step that can never be learned from */
export function requireFiniteRecords(steps: readonly (NamedStep & { readonly behaviourLogprobs: Float32Array })[]): void {
  const broken = steps.find((step) => !allFinite(step.behaviourLogprobs));
  if (broken !== undefined) throw new TrainerError('not_finite', `Step ${broken.id} has a recorded log-prob that is not a finite number, so nothing was published; no later round takes it.`, { stepId: broken.id });
}

/**
 * @param steps what the plan's indices refer to
 * @throws TrainerError `not_finite` naming the step, or all that were computed together where none alone is the cause
 */
export async function requireFinite(learner: Learner, plan: PlannedMicroBatch, steps: readonly NamedStep[], result: BackwardResult): Promise<void> {
  const broken = describe(result);
  if (broken === undefined) return;
  const indices = [...new Set(plan.stepOfEntry)];
  const culprit = plan.stepOfEntry.find((_, m) => !Number.isFinite(result.logprobs[m])) ?? await isolate(learner, plan, indices);
  const named = (culprit === undefined ? indices : [culprit]).map((index) => steps[index]?.id ?? String(index));
  const who = named.length === 1 ? `step ${named[0]}` : `steps ${named.slice(0, 4).join(', ')}${named.length > 4 ? ` and ${named.length - 4} more` : ''} together`;
  throw new TrainerError('not_finite', `${broken} on ${who}, so nothing was published: look at its log-probs and its reward, or lower the learning rate.`);
}

/** Before they are published. @throws TrainerError `not_finite` */
export function requireFiniteParameters(parameters: Learner['parameters']): void {
  const broken = [...parameters].find(([, { data }]) => !allFinite(data))?.[0];
  if (broken !== undefined) throw new TrainerError('not_finite', `After the update ${broken} is not finite, so nothing was published: lower the learning rate.`);
}

/** A sum is finite only if all it is made of is; that it overflows by itself, in float64, float32 numbers are too small for. */
function allFinite(values: Float32Array): boolean {
  return Number.isFinite(values.reduce((sum, value) => sum + value, 0));
}

/** What is not finite, as the beginning of a sentence. */
function describe({ loss, gradients }: BackwardResult): string | undefined {
  const parameter = [...gradients].find(([, gradient]) => !allFinite(gradient))?.[0];
  if (parameter !== undefined) return `The gradient of ${parameter} is not finite`;
  return Number.isFinite(loss) ? undefined : `The loss is ${loss}`;
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
