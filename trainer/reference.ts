import { planMicroBatches, type Row } from './batch.ts';
import type { TrainingPolicy } from './policy.ts';

/**
 * Log-probs of every step's completion tokens under the reference policy, the base model: what the KL term holds on to.
 * `[step][token]`; tokens of steps that are in no row are NaN.
 */
export async function referenceLogprobs(policy: TrainingPolicy, rows: readonly Row[], steps: readonly { readonly completionTokenIds: Int32Array }[], tokensPerMicroBatch: number): Promise<Float32Array[]> {
  const out = steps.map((step) => new Float32Array(step.completionTokenIds.length).fill(NaN));
  await policy.withReference(async () => {
    for (const { batch, stepOfEntry, tokenOfEntry } of planMicroBatches(rows, tokensPerMicroBatch, {})) {
      const { logprobs } = await policy.learner.forward(batch);
      for (const [m, step] of stepOfEntry.entries()) out[step]?.set([logprobs[m] ?? NaN], tokenOfEntry[m]);
    }
  });
  return out;
}
