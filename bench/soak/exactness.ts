/** Log-probs that were recorded under load, recomputed by the trainer. */
import { policyLoss } from '../../trainer/loss/policy-loss.ts';
import { algorithmOf } from '../../trainer/algorithms/index.ts';
import { trainerSchema } from '../../config/schema.ts';
import { readAdapter } from '../../model/adapter.ts';
import { openWeights } from '../../model/open.ts';
import { createEmbeddedLearner } from '../../trainer/backends/embedded.ts';
import type { TrainingStep } from '../../trainer/experience.ts';
import { measureMismatch } from '../../trainer/self-test.ts';
import type { Outcome, Sample } from './load.ts';

export interface Exactness {
  readonly tokens: number;
  /** Nats. */
  readonly maxAbsolute: number;
  readonly meanAbsolute: number;
}

/** @param tokens compare about so many, those that adapters sampled (a version that is not the base model's and is alone in its choice) */
export async function exactness(model: string, { samples, adapterOf }: Outcome, adapters: readonly string[], cacheDir: string, tokens: number): Promise<Exactness> {
  const opened = await openWeights(model);
  const found: Exactness[] = [];
  try {
    for (const [index, directory] of adapters.entries()) {
      const own = samples.filter(({ versions, prompt }) => new Set(versions).size === 1 && adapterOf.get(versions[0] ?? 0) === index && prompt.length > 0);
      const learner = await createEmbeddedLearner({
        model: opened, trainable: { kind: 'adapter', adapter: readAdapter(directory, opened.config) }, loss: policyLoss(algorithmOf(trainerSchema.parse({})).loss), threads: 0, cacheDir, memory: { recompute: 'never' },
      });
      try {
        const mismatch = await measureMismatch(learner, take(own, tokens / adapters.length).map(stepOf), 2048);
        if (mismatch) found.push(mismatch);
      } finally {
        await learner.close();
      }
    }
  } finally {
    opened.weights.close();
  }
  const total = found.reduce((sum, { tokens }) => sum + tokens, 0);
  return { tokens: total, maxAbsolute: Math.max(...found.map(({ maxAbsolute }) => maxAbsolute)), meanAbsolute: found.reduce((sum, { meanAbsolute, tokens }) => sum + meanAbsolute * tokens, 0) / total };
}

/** The newest with so many tokens. */
function take(samples: readonly Sample[], tokens: number): Sample[] {
  const taken: Sample[] = [];
  let count = 0;
  for (const sample of samples.toReversed()) {
    if (count >= tokens) break;
    taken.push(sample);
    count += sample.tokenIds.length;
  }
  return taken;
}

function stepOf({ prompt, tokenIds, logprobs, versions }: Sample, index: number): TrainingStep {
  const id = `sample-${index}`;
  return {
    id, attemptId: id, rolloutId: id, taskId: id, promptTokenIds: prompt, sequence: 0, temperature: 1, staleness: 0, truncated: false,
    completionTokenIds: Int32Array.from(tokenIds), behaviourLogprobs: Float32Array.from(logprobs),
    versionSpans: [{ version: versions[0] ?? 0, from: 0, to: tokenIds.length }],
  };
}
