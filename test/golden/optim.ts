/** `optim/`: AdamW, clipping and schedules on given gradients, and ten updates of an adapter end to end. */
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readAdapter } from '../../model/adapter.ts';
import type { Tensor } from '../../model/model.ts';
import { AdamW, clipByGlobalNorm, schedules } from '../../trainer/optimizer.ts';
import { openGoldenAt } from '../model/golden.ts';
import { goldenBatch } from '../trainer/backends/golden-batch.ts';
import { close, unknown, withRoomFor, type Check } from './check.ts';
import { openTensors, readText } from './files.ts';
import { openLearner } from './models/learner.ts';

interface Run {
  readonly config: {
    readonly steps: number; readonly lr: number; readonly betas: readonly [number, number]; readonly eps: number; readonly weight_decay: number;
    readonly max_grad_norm: number | null; readonly schedule: string; readonly warmup_steps: number; readonly total_steps: number;
  };
  /** Per step, as the other two. */
  readonly lr: readonly number[];
  readonly grad_norm_before_clip: readonly number[];
}

interface EndToEnd extends Run {
  /** Folders of the set. */
  readonly model: string;
  readonly adapter: string;
  readonly loss_before_step: readonly number[];
  /** How far PyTorch in float32 was off: where that is much, an update follows the sign of a gradient that is nearly 0. */
  readonly fp32_vs_fp64_param_max_abs_per_step: readonly number[];
  readonly fp32_loss_max_abs: number;
}

interface Stored {
  readonly param_names: readonly string[];
  readonly pure: Readonly<Record<string, Run>>;
  readonly end_to_end: Readonly<Record<string, EndToEnd>>;
}

export function* optim(set: string): Generator<Check> {
  const { param_names: names, pure, end_to_end: endToEnd }: Stored = JSON.parse(readText(set, 'optim/optim.json'));
  for (const [name, run] of Object.entries(pure)) {
    yield { name: `${name}: updates`, run: () => givenGradients(set, name, names, run) };
    yield scheduleCheck(name, run);
  }
  for (const [name, run] of Object.entries(endToEnd)) {
    yield { name: `${name}: end to end`, run: () => trained(set, name, run) };
    yield scheduleCheck(name, run);
  }
}

function scheduleCheck(name: string, { config, lr }: Run): Check {
  const schedule = Object.entries(schedules).find(([own]) => own === config.schedule)?.[1];
  if (schedule === undefined) return unknown(`${name}: learning rates`, `this project has no schedule "${config.schedule}"`);
  return { name: `${name}: learning rates`, run: () => close(lr.map((_, step) => config.lr * schedule(step, config.warmup_steps, config.total_steps)), lr, { relative: 1e-12 }, 'learning rate') };
}

const optimizerOf = (parameters: ReadonlyMap<string, Tensor>, { config: { betas: [beta1, beta2], eps, weight_decay: weightDecay } }: Run): AdamW =>
  new AdamW(parameters, { beta1, beta2, epsilon: eps, weightDecay });

function givenGradients(set: string, name: string, names: readonly string[], run: Run): number {
  using tensors = openTensors(set, 'optim/adamw.safetensors');
  const { config } = run;
  const parameters = new Map(names.map((own) => [own, tensors.read(`init.${own}`)]));
  const optimizer = optimizerOf(parameters, run);
  let worst = 0;
  const compare = (actual: ArrayLike<number>, tensor: string, relative = 0): void => { worst = Math.max(worst, close(actual, tensors.read(tensor).data, { absolute: 2e-6, relative }, tensor)); };
  for (let step = 0; step < config.steps; step++) {
    const gradients = new Map(names.map((own) => [own, tensors.read(`grad.${step}.${own}`).data]));
    const norm = clipByGlobalNorm(gradients, config.max_grad_norm ?? Infinity);
    worst = Math.max(worst, close([norm], [run.grad_norm_before_clip[step] ?? NaN], { relative: 1e-6, absolute: 1e-9 }, `norm of step ${step}`));
    optimizer.update(gradients, run.lr[step] ?? NaN);
    for (const own of names) compare(parameters.get(own)?.data ?? [], `${name}/after.${step}.${own}`);
  }
  // Squares of gradients are large numbers.
  for (const [moment, { data }] of optimizer.state().moments) compare(data, `${name}/${moment}`, 1e-6);
  return worst;
}

/** The learner, clipping and AdamW together, on the model's own batch and loss. */
async function trained(set: string, name: string, run: EndToEnd): Promise<number> {
  using tensors = openTensors(set, `optim/e2e-${name}.safetensors`);
  await using cache = await mkdtempDisposable(join(tmpdir(), 'golden-'));
  const golden = openGoldenAt(join(set, run.model, '/'), 'config.json');
  await using learner = await openLearner(golden, { kind: 'adapter', adapter: readAdapter(join(set, run.adapter), golden.config) }, cache.path);
  const optimizer = optimizerOf(learner.parameters, run);
  const { batch } = goldenBatch(golden, 1);
  let worst = 0;
  const compare = (...comparison: Parameters<typeof close>): void => { worst = Math.max(worst, close(...comparison)); };
  for (let step = 0; step < run.config.steps; step++) {
    const { loss, gradients } = await learner.forwardBackward(batch);
    const mutable = new Map(gradients);
    compare([loss], [run.loss_before_step[step] ?? NaN], { absolute: withRoomFor(1e-4, run.fp32_loss_max_abs) }, `loss before step ${step}`);
    // The sets say no tolerance for this one; the norm moves with parameters that may be 2e-5 apart.
    compare([clipByGlobalNorm(mutable, run.config.max_grad_norm ?? Infinity)], [run.grad_norm_before_clip[step] ?? NaN], { relative: 2e-4 }, `norm of step ${step}`);
    optimizer.update(mutable, run.lr[step] ?? NaN);
    const absolute = withRoomFor(2e-5, run.fp32_vs_fp64_param_max_abs_per_step[step]);
    for (const [parameter, { data }] of learner.parameters) compare(data, tensors.read(`after.${step}.${parameter}`).data, { absolute }, `${parameter} after step ${step}`);
  }
  golden.weights.close();
  golden.results.close();
  return worst;
}
