import { createEmbeddedLearner, type EmbeddedLearnerOptions } from '../../../trainer/backends/embedded.ts';
import type { Learner } from '../../../trainer/learner.ts';
import { supervisedLoss } from '../../../trainer/loss/supervised.ts';
import type { Golden } from '../../model/golden.ts';

/** A learner of a golden model with the loss that the stored gradients belong to: weighted cross-entropy. */
export async function openLearner(golden: Golden, trainable: EmbeddedLearnerOptions['trainable'], cacheDir: string): Promise<Learner & AsyncDisposable> {
  const model = { config: golden.config, weights: golden.weights, fingerprint: golden.directory.replaceAll('/', '_') };
  const learner = await createEmbeddedLearner({ model, trainable, loss: supervisedLoss, threads: 1, cacheDir });
  return Object.assign(learner, { [Symbol.asyncDispose]: () => learner.close() });
}
