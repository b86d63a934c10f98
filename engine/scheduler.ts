/**
 * What the engine does next. Pure: a plain description of the state in, one action out; the worker performs it and asks again.
 *
 * Time goes in rounds. In each, prompts are read until `prefillBudget` tokens of them are (at least one chunk, so a prompt always
 * advances), then every lane with rows decodes once (so a running stream always advances). A request is admitted when a row is
 * free, first come first served; a choice that could not start for want of a row comes before any newer request.
 */

export interface Limits {
  /** Rows in all lanes together. */
  readonly maxRows: number;
  /** Requests that may wait for a row. */
  readonly maxQueue: number;
  /** How long they may wait. */
  readonly maxQueueMs: number;
  /** Longest prompt + completion, in tokens. */
  readonly maxContext: number;
  /** Most tokens of a prompt that are read in one run. */
  readonly chunk: number;
  /** No further chunk is begun in a round once so many prompt tokens have been read in it. */
  readonly prefillBudget: number;
}

export interface SchedulerState {
  /** Oldest first. */
  readonly waiting: readonly { readonly id: number }[];
  /** The request whose prompt is being read; it holds one row. */
  readonly prefilling: { readonly id: number; readonly done: number; readonly length: number } | null;
  /** Requests whose prompt was read and that have choices without a row, oldest first. */
  readonly unstarted: readonly { readonly id: number }[];
  /** Rows that decode, by lane. */
  readonly lanes: readonly { readonly id: number; readonly rows: number }[];
  readonly round: Round;
}

export interface Round {
  readonly prefilled: number;
  /** Lanes that did. */
  readonly decoded: readonly number[];
}

export const FRESH_ROUND: Round = { prefilled: 0, decoded: [] };

export type Action =
  /** Give the oldest waiting request a row and begin with its prompt. */
  | { readonly type: 'admit'; readonly id: number }
  | { readonly type: 'prefill'; readonly id: number; readonly from: number; readonly to: number }
  /** Give a row to the next choice of a request whose prompt is known. */
  | { readonly type: 'start'; readonly id: number }
  | { readonly type: 'decode'; readonly lane: number }
  | { readonly type: 'nextRound' }
  | { readonly type: 'idle' };

export function nextAction(state: SchedulerState, limits: Limits): Action {
  const { waiting, prefilling, unstarted, lanes, round } = state;
  const isRowFree = rowsInUse(state) < limits.maxRows;
  const first = unstarted[0];
  if (first && isRowFree) return { type: 'start', id: first.id };
  if (round.prefilled < limits.prefillBudget && round.decoded.length === 0) {
    if (prefilling) {
      return { type: 'prefill', id: prefilling.id, from: prefilling.done, to: prefilling.done + pieceOf(prefilling.length - prefilling.done, limits.chunk) };
    }
    const next = waiting[0];
    if (next && isRowFree) return { type: 'admit', id: next.id };
  }
  const lane = lanes.find(({ id, rows }) => rows > 0 && !round.decoded.includes(id));
  if (lane) return { type: 'decode', lane: lane.id };
  const hasWork = prefilling !== null || lanes.some(({ rows }) => rows > 0) || waiting.length > 0;
  return hasWork ? { type: 'nextRound' } : { type: 'idle' };
}

export function rowsInUse({ prefilling, lanes }: Pick<SchedulerState, 'prefilling' | 'lanes'>): number {
  return lanes.reduce((sum, { rows }) => sum + rows, prefilling ? 1 : 0);
}

export type Refusal = { readonly code: 'queue_full' | 'context_length_exceeded' | 'engine_failed'; readonly message: string };

/**
 * How many tokens to read next. The attention kernel takes 16 at a time, and computes one that is left over otherwise, with other last bits. So no
 * piece leaves one over, nor one for the piece after it: then a prompt's keys and values are the same however it is cut.
 */
function pieceOf(left: number, chunk: number): number {
  for (let size = Math.min(left, chunk); size > 1; size--) if (size % 16 !== 1 && left - size !== 1) return size;
  return Math.min(left, chunk);
}

/** Why a request can't be taken in, or null. A prompt must leave room for one token. */
export function refusal(promptTokens: number, waiting: number, limits: Limits): Refusal | null {
  if (promptTokens === 0) return { code: 'engine_failed', message: 'The prompt has no tokens; there is nothing to continue.' };
  if (promptTokens >= limits.maxContext) {
    return {
      code: 'context_length_exceeded',
      message: `The prompt has ${promptTokens} tokens; with at least one token to generate it exceeds the context of ${limits.maxContext} tokens. Shorten the prompt.`,
    };
  }
  if (waiting >= limits.maxQueue) {
    return { code: 'queue_full', message: `${waiting} requests are already waiting for one of ${limits.maxRows} rows. Try again later.` };
  }
  return null;
}

/** The most tokens a choice can have: what was asked for, or what the context leaves. */
export function tokenLimit(promptTokens: number, maxTokens: number, limits: Limits): number {
  return Math.min(maxTokens, limits.maxContext - promptTokens);
}
