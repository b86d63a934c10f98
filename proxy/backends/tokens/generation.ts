/** The engine's events → pieces of choices: what the client reads beside what capture keeps. */
import type { GenerateRequest } from '../../../engine/engine.ts';
import type { Tokenizer } from '../../../model/tokenizer.ts';
import type { LogprobEntry } from '../../dialects/chat-reply.ts';
import type { CaptureDelta } from '../backend.ts';
import type { ChoiceWriter, Written } from './choice-writer.ts';
import type { TokenEngine } from './engine.ts';
import { logprobEntry } from './logprobs.ts';

export interface Piece extends Written {
  readonly choice: number;
  /** The policy version that sampled this (of a piece without a token: the last one's). */
  readonly version: number;
  /** Null where the client asked for none, and for a piece without a token. */
  readonly logprob: LogprobEntry | null;
  readonly capture: CaptureDelta;
}

export interface Generation {
  readonly engine: Pick<TokenEngine, 'generate'>;
  readonly request: GenerateRequest;
  readonly tokenizer: Tokenizer;
  /** One for each choice. */
  readonly writers: readonly ChoiceWriter[];
  readonly logprobs: boolean;
}

const silent: Written = { content: '', reasoning: '', toolCalls: [], finishReason: null };

/**
 * Runs one call. A choice that a stop string ended is read no further; when all have ended, the engine is told to stop. Every
 * choice's first piece carries the prompt's ids.
 *
 * @throws EngineError, or the signal's reason
 */
export async function* pieces({ engine, request, tokenizer, writers, logprobs }: Generation, signal: AbortSignal): AsyncGenerator<Piece> {
  const stop = new AbortController();
  const first = new Set(writers.keys());
  let queueMs: number | null = null;
  let version = 0;

  const piece = (choice: number, written: Written, logprob: LogprobEntry | null, token: Partial<CaptureDelta>): Piece => {
    const start = first.delete(choice) ? { promptTokenIds: request.promptTokenIds, ...(queueMs === null ? {} : { queueMs }) } : {};
    const end = written.finishReason === null ? {} : { finishReason: written.finishReason };
    return { ...written, choice, version, logprob, capture: { choice, ...start, ...token, ...end } };
  };

  try {
    for await (const event of engine.generate(request, AbortSignal.any([signal, stop.signal]))) {
      if (event.type === 'started') {
        queueMs = event.queueMs;
        continue;
      }
      const writer = writers[event.choice];
      if (writer === undefined || writer.ended) continue;
      if (event.type === 'unusable') {
        yield piece(event.choice, silent, null, { quarantine: event.reason });
      } else if (event.type === 'finished') {
        yield piece(event.choice, writer.finish(event.reason), null, {});
      } else {
        const { token } = event;
        version = token.version;
        const entry = logprobs ? logprobEntry(tokenizer, token) : null;
        yield piece(event.choice, writer.push(token.id), entry, { tokenIds: [token.id], logprobs: [token.logprob], version });
      }
      if (writers.every(({ ended }) => ended)) return;
    }
  } finally {
    stop.abort();
  }
}
