/** Log-probs (and values) of the steps' tokens under the policy as it is now, or under the reference policy. */
import { planMicroBatches, type Row } from './batch.ts';
import type { Learner } from './learner.ts';
import type { RoundProgress } from './round-progress.ts';

export interface Recomputed {
  /** `[step][token]` natural log-probs; NaN for tokens of steps that are in no row. */
  readonly logprobs: readonly Float32Array[];
  /** `[step][token]` what the value head says; NaN likewise, and everywhere if there is none. */
  readonly values: readonly Float32Array[];
}

/** One forward pass over the rows. */
export async function recompute(learner: Learner, rows: readonly Row[], steps: readonly { readonly completionTokenIds: Int32Array }[], tokensPerMicroBatch: number, progress: RoundProgress): Promise<Recomputed> {
  const blank = (): Float32Array[] => steps.map((step) => new Float32Array(step.completionTokenIds.length).fill(NaN));
  const [logprobs, values] = [blank(), blank()];
  for (const { batch, stepOfEntry, tokenOfEntry } of planMicroBatches(rows, tokensPerMicroBatch, {})) {
    const result = await learner.forward(batch);
    for (const [m, step] of stepOfEntry.entries()) {
      logprobs[step]?.set([result.logprobs[m] ?? NaN], tokenOfEntry[m]);
      values[step]?.set([result.values?.[m] ?? NaN], tokenOfEntry[m]);
    }
    progress.check();
  }
  return { logprobs, values };
}
