/** Do the trainer and whoever sampled agree on the log-probs? If not, ratios and gradients are about another policy. */
import { mergeSteps, planMicroBatches, type PlannedMicroBatch } from './batch.ts';
import { TrainerError } from './error.ts';
import type { TrainingStep } from './experience.ts';
import type { Learner } from './learner.ts';

export interface Mismatch {
  readonly tokens: number;
  /** Mean and largest |recomputed − recorded| log-prob, nats. */
  readonly meanAbsolute: number;
  readonly maxAbsolute: number;
  /** k3 estimate (joschu.net/blog/kl-approx.html) of KL(recorded, recomputed), nats a token. */
  readonly kl: number;
  /** Pearson's, 1 when all recorded log-probs are equal. */
  readonly correlation: number;
}

/** @param recorded `[n]`, recomputed `[n]` log-probs of the same tokens */
export function compareLogprobs(recorded: ArrayLike<number>, recomputed: ArrayLike<number>): Mismatch {
  const n = recorded.length;
  let absolute = 0;
  let maxAbsolute = 0;
  let kl = 0;
  const sums = { x: 0, y: 0, xx: 0, yy: 0, xy: 0 };
  for (let i = 0; i < n; i++) {
    const x = recorded[i] ?? NaN;
    const y = recomputed[i] ?? NaN;
    const difference = Math.abs(y - x);
    absolute += difference;
    maxAbsolute = Math.max(maxAbsolute, difference);
    kl += Math.expm1(y - x) - (y - x);
    sums.x += x;
    sums.y += y;
    sums.xx += x * x;
    sums.yy += y * y;
    sums.xy += x * y;
  }
  const covariance = n * sums.xy - sums.x * sums.y;
  const spread = Math.sqrt(Math.max(0, n * sums.xx - sums.x ** 2) * Math.max(0, n * sums.yy - sums.y ** 2));
  return { tokens: n, meanAbsolute: n === 0 ? 0 : absolute / n, maxAbsolute, kl: n === 0 ? 0 : kl / n, correlation: spread === 0 ? 1 : covariance / spread };
}

/** The steps that can be compared with `version`: every token was sampled by it. Evenly spread over the given ones, at most `limit`. */
export function comparableSteps<S extends TrainingStep>(steps: readonly S[], version: number, limit: number): S[] {
  const own = steps.filter((step) => step.versionSpans.every((span) => span.version === version));
  const stride = Math.max(1, own.length / limit);
  return Array.from({ length: Math.min(limit, own.length) }, (_, i) => own[Math.floor(i * stride)]).filter((step) => step !== undefined);
}

/** Pairs of recorded and recomputed log-probs, collected micro-batch by micro-batch. */
export class LogprobComparison {
  readonly #recorded: number[] = [];
  readonly #recomputed: number[] = [];

  /** @param steps what the plan's indices refer to; `isCompared` says which of them */
  add<S extends Pick<TrainingStep, 'behaviourLogprobs'>>({ stepOfEntry, tokenOfEntry }: PlannedMicroBatch, steps: readonly S[], logprobs: Float32Array, isCompared: (step: S) => boolean = () => true): void {
    for (const [m, index] of stepOfEntry.entries()) {
      const step = steps[index];
      if (step === undefined || !isCompared(step)) continue;
      this.#recorded.push(step.behaviourLogprobs[tokenOfEntry[m] ?? -1] ?? NaN);
      this.#recomputed.push(logprobs[m] ?? NaN);
    }
  }

  /** Null when nothing was compared. */
  mismatch(): Mismatch | null {
    return this.#recorded.length === 0 ? null : compareLogprobs(this.#recorded, this.#recomputed);
  }
}

/** Recomputes the log-probs of the steps' completions with the learner's parameters as they are. Null when there are no steps. */
export async function measureMismatch(learner: Learner, steps: readonly TrainingStep[], tokensPerMicroBatch: number): Promise<Mismatch | null> {
  const comparison = new LogprobComparison();
  for (const plan of planMicroBatches(mergeSteps(steps), tokensPerMicroBatch, {})) comparison.add(plan, steps, (await learner.forward(plan.batch)).logprobs);
  return comparison.mismatch();
}

/** As a round's metrics; none when nothing was compared. */
export function mismatchMetrics(mismatch: Mismatch | null): Record<string, number> {
  if (mismatch === null) return {};
  const { meanAbsolute, maxAbsolute, kl, correlation, tokens } = mismatch;
  return { selfTestMean: meanAbsolute, selfTestMax: maxAbsolute, selfTestKl: kl, selfTestCorrelation: correlation, selfTestTokens: tokens };
}

/** Nothing to compare is no disagreement. @throws TrainerError `logprob_mismatch` past the limit (nats a token, on average), with what to look at */
export function requireAgreement(mismatch: Mismatch | null, version: number | null, limit: number): void {
  if (mismatch === null || mismatch.meanAbsolute <= limit) return;
  const { meanAbsolute, maxAbsolute, kl, correlation, tokens } = mismatch;
  throw new TrainerError(
    'logprob_mismatch',
    `The trainer's log-probs differ from the recorded ones by ${meanAbsolute.toPrecision(3)} nats a token on average (largest ${maxAbsolute.toPrecision(3)}, KL ${kl.toPrecision(3)}, `
    + `correlation ${correlation.toPrecision(3)}, over ${tokens} tokens of version ${version}), more than trainer.maxLogprobMismatch (${limit}): check that the tokens were sampled from the weights that `
    + 'backend.model names with this version\'s adapter, at the recorded temperature, and that nothing else (penalties, a grammar, quantized weights) changed their distribution.',
  );
}
