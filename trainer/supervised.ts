/** Supervised learning with the round's own parts: next-token cross-entropy on the tokens of a loss mask. */
import { planMicroBatches, type Row, type Segment, trainedTokens } from './batch.ts';
import type { Learner } from './learner.ts';
import { accumulate, AdamW, type AdamWOptions, clipByGlobalNorm, cosineWithWarmup } from './optimizer.ts';
import { seededRandom, shuffled } from './random.ts';

export interface SupervisedExample {
  readonly tokenIds: Int32Array;
  /** As long as `tokenIds`; 1 where the token is to be learned. The first token cannot be: nothing predicts it. */
  readonly lossMask: ArrayLike<number>;
}

export interface SupervisedProgress {
  readonly step: number;
  readonly steps: number;
  /** Mean negative log-likelihood of the step's tokens, nats. */
  readonly loss: number;
  readonly tokens: number;
  readonly learningRate: number;
  /** Before clipping. */
  readonly gradNorm: number;
}

export interface SupervisedOptions {
  /** Built with `supervisedLoss`; its parameters are changed in place. */
  readonly learner: Learner;
  readonly examples: readonly SupervisedExample[];
  /** Optimizer updates. */
  readonly steps: number;
  /** Examples in one update, drawn without replacement until all were seen, then shuffled anew. */
  readonly batchSize: number;
  readonly tokensPerMicroBatch: number;
  readonly optimizer: AdamWOptions;
  readonly maxGradNorm: number;
  /** The peak: linear warm-up, then half a cosine to 0. */
  readonly learningRate: number;
  readonly warmupSteps: number;
  readonly seed: number;
  readonly onProgress?: (progress: SupervisedProgress) => void;
}

/**
 * Trains in place; the same seed and examples give the same parameters. Returns the last step's progress.
 * Throws if an example has no token to learn, or if a loss or gradient is not finite.
 */
export async function trainSupervised(options: SupervisedOptions): Promise<SupervisedProgress> {
  const { learner, steps, onProgress } = options;
  const rows = options.examples.map(toRow);
  const draws = drawForever(rows, options.seed);
  const optimizer = new AdamW(learner.parameters, options.optimizer);
  let progress: SupervisedProgress = { step: 0, steps, loss: 0, tokens: 0, learningRate: 0, gradNorm: 0 };
  for (let step = 0; step < steps; step++) {
    const chosen = Array.from({ length: Math.min(options.batchSize, rows.length) }, draws);
    const tokens = chosen.reduce((sum, row) => sum + trainedTokens(row), 0);
    const gradients = new Map<string, Float32Array>();
    let loss = 0;
    for (const { batch } of planMicroBatches(chosen, options.tokensPerMicroBatch, { weight: () => 1 / tokens })) {
      const result = await learner.forwardBackward(batch);
      loss += result.loss;
      accumulate(gradients, result.gradients);
    }
    const gradNorm = clipByGlobalNorm(gradients, options.maxGradNorm);
    if (!Number.isFinite(loss) || !Number.isFinite(gradNorm)) throw new Error(`supervised step ${step} has loss ${loss} and gradient norm ${gradNorm}; lower the learning rate`);
    const learningRate = options.learningRate * cosineWithWarmup(step, options.warmupSteps, steps);
    optimizer.update(gradients, learningRate);
    progress = { step: step + 1, steps, loss, tokens, learningRate, gradNorm };
    onProgress?.(progress);
  }
  return progress;
}

function toRow({ tokenIds, lossMask }: SupervisedExample, step: number): Row {
  const segments: Segment[] = [];
  let start = 0;
  for (let at = 1; at <= tokenIds.length; at++) {
    const learned = at < tokenIds.length && lossMask[at] === 1;
    if (learned && start === 0) start = at;
    if (!learned && start > 0) {
      segments.push({ step, start, length: at - start, temperature: 1 });
      start = 0;
    }
  }
  if (segments.length === 0) throw new Error(`example ${step} has no token to learn`);
  return { tokenIds, segments };
}

function drawForever(rows: readonly Row[], seed: number): () => Row {
  const random = seededRandom(seed);
  let deck: Row[] = [];
  return () => {
    if (deck.length === 0) deck = shuffled(rows, random);
    const row = deck.pop();
    if (row === undefined) throw new Error('there are no examples to learn from');
    return row;
  };
}
