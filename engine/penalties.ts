/** Penalties on tokens that a row has seen already. Pure. Meaning and order are vLLM's (`vllm/v1/sample/ops/penalties.py`). */

export interface Penalties {
  /** Above 0; the logit of a token of the prompt or the completion is divided by it if positive, else multiplied (CTRL, arXiv 1909.05858, section 4.1). 1 is off. */
  readonly repetitionPenalty: number;
  /** Subtracted from a token's logit for each time it was generated. 0 is off. */
  readonly frequencyPenalty: number;
  /** Subtracted once from the logit of every token that was generated. 0 is off. */
  readonly presencePenalty: number;
}

export const NO_PENALTIES: Penalties = { repetitionPenalty: 1, frequencyPenalty: 0, presencePenalty: 0 };

/** What the penalties of one row speak of. */
export interface Seen {
  readonly prompt: ReadonlySet<number>;
  /** How often each token was generated. */
  readonly generated: Map<number, number>;
}

/** What a row that begins has seen; null where no penalty is on, so that nothing needs to be counted. */
export function seenAtStart(promptTokenIds: Int32Array, penalties: Penalties): Seen | null {
  const { repetitionPenalty, frequencyPenalty, presencePenalty } = penalties;
  if (repetitionPenalty === 1 && frequencyPenalty === 0 && presencePenalty === 0) return null;
  return { prompt: new Set(promptTokenIds), generated: new Map() };
}

export function countGenerated({ generated }: Seen, tokenId: number): void {
  generated.set(tokenId, (generated.get(tokenId) ?? 0) + 1);
}

/** Logits `[vocab]` after repetition, frequency and presence penalty, in that order: a copy. */
export function penalized(logits: Float32Array, penalties: Penalties, { prompt, generated }: Seen): Float32Array {
  const { repetitionPenalty, frequencyPenalty, presencePenalty } = penalties;
  const out = logits.slice();
  const repeat = (id: number): void => {
    const logit = out[id] ?? 0;
    out[id] = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
  };
  if (repetitionPenalty !== 1) {
    prompt.forEach(repeat);
    for (const id of generated.keys()) if (!prompt.has(id)) repeat(id);
  }
  for (const [id, count] of generated) out[id] = (out[id] ?? 0) - frequencyPenalty * count - presencePenalty;
  return out;
}
