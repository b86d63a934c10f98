/** One choice as it is being sampled: ids, log-probs, versions, and why it must not be trained on, if so. */
import type { VersionSpan } from '../../store/schema.ts';
import type { CaptureDelta } from '../backends/backend.ts';

export class ChoiceCapture {
  promptIds: Int32Array | null = null;
  readonly completionIds: number[] = [];
  readonly logprobs: number[] = [];
  readonly versionSpans: VersionSpan[] = [];
  finishReason: string | null = null;
  queueMs: number | null = null;
  #quarantine: string | null = null;

  /** `currentVersion` is for backends that do not say which version sampled a token. */
  add(delta: CaptureDelta, currentVersion: number): void {
    if (delta.promptTokenIds !== undefined) this.promptIds = delta.promptTokenIds;
    if (delta.queueMs !== undefined) this.queueMs = delta.queueMs;
    if (delta.finishReason !== undefined) this.finishReason = delta.finishReason;
    if (delta.quarantine !== undefined) this.#quarantine ??= delta.quarantine;
    if (delta.logprobs !== undefined) for (const logprob of delta.logprobs) this.logprobs.push(logprob);
    if (delta.tokenIds === undefined || delta.tokenIds.length === 0) return;
    const from = this.completionIds.length;
    for (const id of delta.tokenIds) this.completionIds.push(id);
    this.#extendSpans(delta.version ?? currentVersion, from, this.completionIds.length);
  }

  /** The reason that a finished choice is kept out of training, or null. Lengths first: the backend may not know it miscounted. */
  quarantineReason(): string | null {
    if (this.completionIds.length !== this.logprobs.length && this.logprobs.length > 0) return 'length_mismatch';
    if (this.#quarantine !== null) return this.#quarantine;
    if (this.completionIds.length === 0 || this.promptIds === null || this.promptIds.length === 0) return 'inexact';
    if (this.logprobs.length === 0) return 'no_logprobs';
    // A log-prob above zero, beyond rounding, is not one.
    if (!this.logprobs.every((logprob) => Number.isFinite(logprob) && logprob <= 1e-3)) return 'invalid_logprobs';
    return null;
  }

  #extendSpans(version: number, from: number, to: number): void {
    const last = this.versionSpans.at(-1);
    if (last?.version === version) last.to = to;
    else this.versionSpans.push({ version, from, to });
  }
}
