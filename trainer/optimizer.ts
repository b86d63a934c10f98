/** AdamW on typed arrays (arXiv 1711.05101, algorithm 2), global-norm clipping, learning-rate schedules. */
import type { Tensor } from '../model/model.ts';

export interface AdamWOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
}

type Parameters = ReadonlyMap<string, Tensor>;
type Gradients = ReadonlyMap<string, Float32Array>;

export interface OptimizerState {
  /** Updates made so far. */
  readonly step: number;
  /** `exp_avg.<parameter>` and `exp_avg_sq.<parameter>`, shaped as the parameters. */
  readonly moments: ReadonlyMap<string, Tensor>;
}

export class AdamW {
  readonly options: AdamWOptions;
  readonly #parameters: Parameters;
  readonly #moments = new Map<string, { first: Float32Array; second: Float32Array }>();
  #step = 0;

  constructor(parameters: Parameters, options: AdamWOptions) {
    this.#parameters = parameters;
    this.options = options;
    for (const [name, { data }] of parameters) this.#moments.set(name, { first: new Float32Array(data.length), second: new Float32Array(data.length) });
  }

  get step(): number {
    return this.#step;
  }

  /** Changes the parameters in place. Throws if a parameter has no gradient of its size. */
  update(gradients: Gradients, learningRate: number): void {
    this.#step++;
    const { beta1, beta2, epsilon, weightDecay } = this.options;
    const stepSize = learningRate / (1 - beta1 ** this.#step);
    const secondCorrection = Math.sqrt(1 - beta2 ** this.#step);
    const decay = 1 - learningRate * weightDecay;
    for (const [name, { data }] of this.#parameters) {
      const gradient = gradients.get(name);
      const moments = this.#moments.get(name);
      if (gradient?.length !== data.length || moments === undefined) throw new Error(`no gradient for parameter ${name} (${data.length} elements)`);
      const { first, second } = moments;
      for (let i = 0; i < data.length; i++) {
        const g = gradient[i] as number; // all four arrays have data.length elements
        const m = beta1 * (first[i] as number) + (1 - beta1) * g;
        const v = beta2 * (second[i] as number) + (1 - beta2) * g * g;
        first[i] = m;
        second[i] = v;
        data[i] = (data[i] as number) * decay - (stepSize * m) / (Math.sqrt(v) / secondCorrection + epsilon);
      }
    }
  }

  /** Views, not copies: write them before the next update. */
  state(): OptimizerState {
    const moments = new Map<string, Tensor>();
    for (const [name, { shape }] of this.#parameters) {
      const own = this.#moments.get(name);
      if (own === undefined) continue;
      moments.set(`exp_avg.${name}`, { shape, data: own.first });
      moments.set(`exp_avg_sq.${name}`, { shape, data: own.second });
    }
    return { step: this.#step, moments };
  }

  /** Takes over saved state; parameters that are new since then begin without moments. Throws if another parameter's are missing or of another size. */
  load(state: OptimizerState, isNew: (parameter: string) => boolean = () => false): void {
    this.reset();
    for (const [name, own] of this.#moments) {
      if (isNew(name)) continue;
      const first = state.moments.get(`exp_avg.${name}`)?.data;
      const second = state.moments.get(`exp_avg_sq.${name}`)?.data;
      if (first?.length !== own.first.length || second?.length !== own.second.length) throw new Error(`the optimizer state has no moments for ${name} (${own.first.length} elements)`);
      own.first.set(first);
      own.second.set(second);
    }
    this.#step = state.step;
  }

  /** Forgets everything: as after construction. */
  reset(): void {
    for (const { first, second } of this.#moments.values()) {
      first.fill(0);
      second.fill(0);
    }
    this.#step = 0;
  }
}

/**
 * Scales all gradients in place by min(1, maxNorm / (norm + 1e-6)), as `torch.nn.utils.clip_grad_norm_`.
 * Returns the global norm before clipping, in float64; not finite if a gradient is not (then nothing is scaled).
 */
export function clipByGlobalNorm(gradients: Gradients, maxNorm: number): number {
  let squares = 0;
  for (const gradient of gradients.values()) for (const g of gradient) squares += g * g;
  const norm = Math.sqrt(squares);
  const scale = maxNorm / (norm + 1e-6);
  if (Number.isFinite(norm) && scale < 1) for (const gradient of gradients.values()) for (let i = 0; i < gradient.length; i++) gradient[i] = (gradient[i] as number) * scale;
  return norm;
}

/** Linear warm-up from 0, then 1. With warm-up, step 0 has factor 0 (as in transformers). */
export function constantWithWarmup(step: number, warmupSteps: number): number {
  return step < warmupSteps ? step / Math.max(1, warmupSteps) : 1;
}

/** Linear warm-up from 0, then half a cosine down to 0 at `totalSteps`; past it the cosine goes up again (as in transformers). */
export function cosineWithWarmup(step: number, warmupSteps: number, totalSteps: number): number {
  if (step < warmupSteps) return step / Math.max(1, warmupSteps);
  const progress = (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps);
  return Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)));
}

/** Linear warm-up from 0, then a straight line down to 0 at `totalSteps`. */
export function linearWithWarmup(step: number, warmupSteps: number, totalSteps: number): number {
  if (step < warmupSteps) return step / Math.max(1, warmupSteps);
  return Math.max(0, (totalSteps - step) / Math.max(1, totalSteps - warmupSteps));
}

/** Learning-rate factors by name, as transformers' `get_scheduler` has them. Each is of the update's number, from 0. */
export const schedules = { constant: constantWithWarmup, linear: linearWithWarmup, cosine: cosineWithWarmup };

export interface RateSchedule {
  readonly schedule: keyof typeof schedules;
  /** In updates, as `totalSteps`. */
  readonly warmupSteps: number;
  /** When a linear or cosine schedule has gone down; over all rounds. */
  readonly totalSteps?: number | undefined;
}

/** Where a decaying schedule ends, as a share of the learning rate: rounds that come later still learn. */
const floor = 0.1;

/**
 * What the learning rate is multiplied by for an update (from 0, counted over all rounds). Unlike transformers' schedules it is never 0, since
 * a round of one update would publish a copy: warm-up goes from 1/(n+1) upwards, and decay ends at a tenth.
 */
export function learningRateFactor({ schedule, warmupSteps, totalSteps = Infinity }: RateSchedule, update: number): number {
  const factor = schedules[schedule](Math.min(update, totalSteps) + 1, warmupSteps + 1, totalSteps + 1);
  return update < warmupSteps ? factor : floor + (1 - floor) * factor;
}

/** The sum of gradients over micro-batches: adds `gradients` into `total` in place; an empty total takes them over. */
export function accumulate(total: Map<string, Float32Array>, gradients: Gradients): void {
  for (const [name, gradient] of gradients) {
    const sum = total.get(name);
    if (sum === undefined) total.set(name, gradient);
    else for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (gradient[i] as number);
  }
}
