/** One row's next token. */
import type { FinishReason, SampledToken } from './engine.ts';
import type { Row } from './lane.ts';
import { countGenerated } from './penalties.ts';
import { uniform } from './random.ts';
import { sample, type Weighed } from './sampler.ts';

/**
 * Samples a token and appends it to its row.
 * @param logits `[vocab]`, after what the row holds so far
 * @param weighed what was computed with them at the row's temperature; null where only they are known
 * @returns the token, and why it is the choice's last (null: it isn't)
 * @throws NoDistributionError, GrammarError
 */
export function draw(row: Row, logits: Float32Array, weighed: Weighed | null, version: number): { readonly token: SampledToken; readonly reason: FinishReason | null } {
  const { job, choice, sampled, seen, constraint } = row;
  const { sampling, topLogprobs, stopTokenIds } = job.request;
  const token = { ...sample(logits, sampling, uniform(job.seed, choice, sampled.length), topLogprobs, seen, constraint?.mask() ?? null, weighed), version };
  if (seen) countGenerated(seen, token.id);
  sampled.push(token.id);
  const reason = stopTokenIds.includes(token.id) ? 'stop' : sampled.length >= job.tokenLimit ? 'length' : null;
  if (reason) constraint?.end();
  else constraint?.accept(token.id);
  return { token, reason };
}
