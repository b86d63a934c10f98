/** Log-probs that were recorded under load, recomputed by the trainer. */
import { policyLoss } from '../../trainer/loss/policy-loss.ts';
import { algorithmOf } from '../../trainer/algorithms/index.ts';
import { trainerSchema } from '../../config/schema.ts';
import { createAdapter, readAdapter } from '../../model/adapter.ts';
import { openWeights } from '../../model/open.ts';
import { createEmbeddedLearner } from '../../trainer/backends/embedded.ts';
import type { TrainingStep } from '../../trainer/experience.ts';
import { seededRandom } from '../../trainer/random.ts';
import { measureMismatch } from '../../trainer/self-test.ts';
import { LORA } from './adapters.ts';
import type { Outcome, Sample } from './load.ts';

export interface Exactness {
  readonly tokens: number;
  /** Of these, those of requests that were aborted, and those of choices during which the current version changed. */
  readonly aborted: number;
  readonly sawSwap: number;
  /** Nats. */
  readonly maxAbsolute: number;
  readonly meanAbsolute: number;
}

/** What one adapter sampled; null: the base model. */
type Sampler = number | null;

/** @param tokens compare so many, if that many were sampled by one version each (with `swap: cross`, keys and values of several versions follow one another) */
export async function exactness(model: string, { samples, adapterOf }: Outcome, adapters: readonly string[], cacheDir: string, tokens: number): Promise<Exactness> {
  const samplerOf = ({ versions }: Sample): Sampler => adapterOf.get(versions[0] ?? 0) ?? null;
  const taken = spread(samples.filter(({ versions }) => new Set(versions).size === 1), tokens);
  const opened = await openWeights(model);
  let compared = 0, maxAbsolute = 0, sum = 0;
  try {
    for (const sampler of new Set(taken.map(samplerOf))) {
      const directory = sampler === null ? undefined : adapters[sampler];
      // A new adapter adds nothing: the base model.
      const adapter = directory === undefined ? createAdapter(opened.config, LORA, seededRandom(0)) : readAdapter(directory, opened.config);
      const learner = await createEmbeddedLearner({
        model: opened, trainable: { kind: 'adapter', adapter }, loss: policyLoss(algorithmOf(trainerSchema.parse({})).loss), threads: 0, cacheDir, memory: { recompute: 'never' },
      });
      try {
        const mismatch = await measureMismatch(learner, taken.filter((sample) => samplerOf(sample) === sampler).map(stepOf), 2048);
        if (!mismatch) continue;
        compared += mismatch.tokens;
        sum += mismatch.meanAbsolute * mismatch.tokens;
        // A NaN stays one.
        maxAbsolute = Math.max(maxAbsolute, mismatch.maxAbsolute);
      } finally {
        await learner.close();
      }
    }
  } finally {
    opened.weights.close();
  }
  return { tokens: compared, aborted: count(taken.filter(({ wasAborted }) => wasAborted)), sawSwap: count(taken.filter(({ sawSwap }) => sawSwap)), maxAbsolute, meanAbsolute: sum / compared };
}

const count = (samples: readonly Sample[]): number => samples.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);

/** Some of them, evenly, which have so many tokens together. */
function spread(samples: readonly Sample[], tokens: number): Sample[] {
  const total = count(samples);
  let passed = 0, taken = 0;
  return samples.filter(({ tokenIds: { length } }) => {
    passed += length;
    if (taken * total >= passed * tokens) return false;
    taken += length;
    return true;
  });
}

function stepOf({ prompt, tokenIds, logprobs, versions }: Sample, index: number): TrainingStep {
  const id = `sample-${index}`;
  return {
    id, attemptId: id, rolloutId: id, taskId: id, promptTokenIds: prompt, sequence: 0, temperature: 1, staleness: 0, truncated: false,
    completionTokenIds: Int32Array.from(tokenIds), behaviourLogprobs: Float32Array.from(logprobs),
    versionSpans: [{ version: versions[0] ?? 0, from: 0, to: tokenIds.length }],
  };
}
