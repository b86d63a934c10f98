/** Between the lanes and the prefix cache: what a request takes over, and what it leaves behind. */
import type { Job, Lane } from './lane.ts';
import type { Policy } from './policy.ts';
import type { Prefix, PrefixCache } from './prefix-cache.ts';

/** Begins with a prompt behind what is known of it. @throws RangeError where there is no memory for its row */
export function readBehindKnown(prefixes: PrefixCache, lane: Lane, policy: Policy, job: Job): Prefix {
  const { promptTokenIds, sampling } = job.request;
  const known = prefixes.find(policy.version, promptTokenIds, sampling.seed !== null);
  lane.read(job, policy, { length: known.length, load: (cache, slot) => { prefixes.load(known, cache, slot); } });
  job.read = known.read === known.length ? promptTokenIds.length : known.read;
  return known;
}

/** Keeps the prompt that was just read; it still lies in the slot after the rows. @param logits after its last token */
export function keepPrompt(prefixes: PrefixCache, { cache, rows, reading }: Lane, logits: Float32Array): void {
  if (!reading?.job.isReusable) return;
  const { policy, job: { request, read } } = reading;
  prefixes.store({ version: policy.version, tokenIds: request.promptTokenIds, cache, row: rows.length, read, logits });
}

/** Keeps the text of a row that ends: a conversation's next turn goes on from it. */
export function keepRow(prefixes: PrefixCache, { cache, rows }: Lane, slot: number): void {
  const row = rows[slot];
  if (!row?.job.isReusable) return;
  const { policy, job: { request, read } } = row;
  const tokenIds = Int32Array.from([...request.promptTokenIds, ...row.sampled]).subarray(0, row.length);
  prefixes.store({ version: policy.version, tokenIds, cache, row: slot, read, logits: null });
}
