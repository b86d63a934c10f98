/** The log-prob of a token that the server did not tell: asked for again, by what came before it. Equal to the first one up to rounding. */
import type { GenerateRequest } from '../../../engine/engine.ts';
import { NO_PENALTIES } from '../../../engine/penalties.ts';
import { isRecord, records } from '../openai/json.ts';
import type { TokenServer } from '../tokens/server.ts';
import { completionBody, type AdapterScale } from './asking.ts';

export interface Rescoring {
  readonly server: TokenServer;
  readonly request: GenerateRequest;
  readonly adapters: readonly AdapterScale[];
  readonly vocabSize: number;
}

/** Enough for nearly all; where not, the whole vocabulary is asked for (some 5 MB). */
const likeliest = 1000;
/** What tokens that are not listed may add to a log-prob. */
const tolerance = 1e-5;
/** A server whose slots are all taken answers when one is free; an answer does not wait for that any longer. */
const timeoutMs = 30_000;

/** Whether the distribution follows from the model's own by the temperature alone. */
export function canRescore({ sampling, grammar }: GenerateRequest): boolean {
  const { topP, topK, minP, repetitionPenalty, frequencyPenalty, presencePenalty, logitBias = [] } = sampling;
  return grammar === undefined && topP === 1 && topK === 0 && minP === 0 && repetitionPenalty === 1 && frequencyPenalty === 0 && presencePenalty === 0 && logitBias.length === 0;
}

/**
 * @param before the tokens of the answer before this one
 * @returns natural log-prob at the request's temperature, of greedy requests the model's own; null where the server does not say it in time
 */
export async function rescore(rescoring: Rescoring, before: readonly number[], id: number, signal: AbortSignal): Promise<number | null> {
  const within = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  try {
    for (const count of [likeliest, rescoring.vocabSize]) {
      const logprob = logprobAt(await nextLogprobs(rescoring, before, count, within), id, rescoring.request.sampling.temperature || 1, rescoring.vocabSize);
      if (logprob !== null) return logprob;
    }
    return null;
  } catch {
    signal.throwIfAborted();
    return null; // the answer goes on; its step says that it is not exact
  }
}

/** The model's own log-probs of the likeliest tokens. One token has to be sampled for them, and must end a character: the end of the answer does. */
async function nextLogprobs({ server, request, adapters }: Rescoring, before: readonly number[], count: number, signal: AbortSignal): Promise<ReadonlyMap<number, number>> {
  const logitBias = request.stopTokenIds.slice(0, 1).map((stop) => [stop, 1000] as const);
  const body = completionBody({
    promptTokenIds: Int32Array.from([...request.promptTokenIds, ...before]), n: 1, maxTokens: 1, stopTokenIds: [], topLogprobs: count, version: null,
    sampling: { temperature: 0, topP: 1, topK: 0, minP: 0, seed: null, ...NO_PENALTIES, logitBias },
  }, adapters);
  const answer = await server.post('/completion', { ...body, stream: false }, signal);
  const [entry] = records(isRecord(answer) ? answer['completion_probabilities'] : []);
  return new Map(records(entry?.['top_logprobs']).map((top) => [Number(top['id']), Number(top['logprob'])]));
}

/**
 * log softmax(l / T) of one token, from the greatest of all log-probs l at temperature 1. Exported for its test.
 * @returns null where the token is not listed, or those that are not could weigh more than the tolerance
 */
export function logprobAt(listed: ReadonlyMap<number, number>, id: number, temperature: number, vocabSize: number): number | null {
  const own = listed.get(id);
  if (own === undefined) return null;
  if (temperature === 1) return own;
  const scaled = [...listed.values()].map((logprob) => logprob / temperature);
  const sum = scaled.reduce((total, logprob) => total + Math.exp(logprob), 0);
  const unlisted = (vocabSize - listed.size) * Math.exp(Math.min(...scaled));
  return unlisted <= tolerance * sum ? own / temperature - Math.log(sum) : null;
}
