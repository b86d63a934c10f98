/** What the grammar thread is told, and what it answers. Structured-clone data only. */
import type { MessagePort } from 'node:worker_threads';
import type { Grammar } from '../../model/grammar.ts';

export interface GrammarThreadData {
  /** As `openText` takes it. */
  readonly model: string;
  /** Special tokens that a grammar takes for the text they are written as (`<tool_call>`); the others have none. */
  readonly spokenSpecials: readonly string[];
}

export type ToGrammar =
  /** The engine's end of a channel: `FromEngine` messages come over it. */
  | { readonly type: 'engine'; readonly port: MessagePort }
  | { readonly type: 'compile'; readonly id: number; readonly grammar: Grammar };

export type FromGrammar =
  | { readonly type: 'compiled'; readonly id: number }
  /** `isGrammar`: the grammar cannot be used, as the message says; else the thread failed. */
  | { readonly type: 'refused'; readonly id: number; readonly message: string; readonly isGrammar: boolean };

/** A choice that a grammar holds, from the engine's thread. */
export type ChoiceMessage =
  /** `shared`: see `SHARED`. */
  | { readonly type: 'begin'; readonly id: number; readonly grammar: Grammar; readonly stopTokenIds: readonly number[]; readonly shared: Int32Array }
  | { readonly type: 'accept'; readonly id: number; readonly tokenId: number }
  | { readonly type: 'end'; readonly id: number };

/**
 * The words that a choice's two threads share, then its mask: bit `id % 32` of word `mask + id / 32` says whether the token may come next.
 * `turn` counts the masks written; the thread that samples waits for the next one there.
 */
export const SHARED = { turn: 0, failed: 1, mask: 2 } as const;
