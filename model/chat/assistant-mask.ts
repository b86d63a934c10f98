import type { TokenizedText } from '../tokenizer/offsets.ts';
import type { Span } from './generation.ts';

/** 1 for each token that stands for a character the assistant wrote, 0 for the others: what supervised learning learns (transformers' `assistant_masks`). */
export function assistantMask({ starts, ends }: TokenizedText, assistant: readonly Span[]): Uint8Array {
  return Uint8Array.from(starts, (start, i) => Number(assistant.some(([from, to]) => start < to && from < (ends[i] ?? 0))));
}
