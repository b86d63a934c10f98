/** What samples for a backend that renders, tokenizes and reads answers itself: the embedded engine, or a server that takes and gives token ids. */
import type { Engine, GenerateEvent, GenerateRequest } from '../../../engine/engine.ts';
import type { Grammar } from '../../../model/grammar.ts';

/** Why a choice is kept and not trained on: its engine did not say all of its ids and log-probs, or those of another distribution. */
export interface Unusable {
  readonly type: 'unusable';
  readonly choice: number;
  readonly reason: string;
}

export type TokenEvent = GenerateEvent | Unusable;

export interface TokenEngine extends Pick<Engine, 'maxContext' | 'loadPolicy' | 'setCurrent' | 'unloadPolicy' | 'close'> {
  /** How the backend is called in messages. */
  readonly name: string;
  readonly loadsPolicies: boolean;
  /** Whether sampling can be held to a grammar of this kind. */
  holds(grammar: Grammar): boolean;
  /** Errors as the embedded engine's, or UpstreamError, or the signal's reason. Leaving the iteration early ends the generation. */
  generate(request: GenerateRequest, signal: AbortSignal): AsyncIterable<TokenEvent>;
  /** For /metrics. */
  stats(): Promise<Readonly<Record<string, number>>>;
  health(): Promise<{ readonly ok: boolean; readonly detail: string }>;
}

/** Events of `n` choices, all of them marked where there is a reason: after the first event, so that a request that is refused has none. */
export async function* marked(events: AsyncIterable<TokenEvent>, n: number, reason: string | null): AsyncGenerator<TokenEvent> {
  let isMarked = reason === null;
  for await (const event of events) {
    yield event;
    if (isMarked || reason === null) continue;
    isMarked = true;
    for (let choice = 0; choice < n; choice++) yield { type: 'unusable', choice, reason };
  }
}
