/** What a server can do, found out by asking it for one token, twice. */
import { isRecord, numbers, records, type JsonObject } from './json.ts';

/** `raw`: of the model's own distribution (temperature 1), whatever the request's temperature (vLLM's default `--logprobs-mode`). */
export type LogprobsMode = 'sampled' | 'raw' | 'unknown';

export const probeTemperature = 0.5;

/** A one-token request that shows the likeliest tokens' log-probs. */
export const probeBody = (model: string, temperature: number): JsonObject => ({
  model,
  messages: [{ role: 'user', content: 'Hi' }],
  max_tokens: 1,
  temperature,
  logprobs: true,
  top_logprobs: 5,
  return_token_ids: true,
});

/** Whether an answer has the ids of prompt and completion, and a log-prob for each of the latter. */
export function isExactAnswer(answer: unknown): boolean {
  if (!isRecord(answer)) return false;
  const [choice] = records(answer['choices']);
  if (choice === undefined) return false;
  const ids = numbers(choice['token_ids']);
  const prompt = numbers(choice['prompt_token_ids']) ?? numbers(answer['prompt_token_ids']);
  return ids !== undefined && ids.length > 0 && prompt !== undefined && entries(choice).length === ids.length;
}

const entries = (choice: JsonObject) => isRecord(choice['logprobs']) ? records(choice['logprobs']['content']) : [];

/** The first token's likeliest alternatives, by their text. */
function alternatives(answer: unknown): Map<unknown, number> {
  const [choice] = isRecord(answer) ? records(answer['choices']) : [];
  const [entry] = choice === undefined ? [] : entries(choice);
  return new Map(records(entry?.['top_logprobs']).flatMap(({ token, logprob }) => typeof logprob === 'number' ? [[token, logprob]] : []));
}

/**
 * Compares one answer at temperature 1 with one at `probeTemperature`: dividing logits by a temperature divides every difference of
 * two log-probs by it. The widest difference of two tokens that both answers list decides.
 */
export function logprobsMode(atOne: unknown, atProbe: unknown): LogprobsMode {
  const one = alternatives(atOne), other = alternatives(atProbe);
  const common = [...one.keys()].filter((token) => other.has(token)).sort((a, b) => (one.get(b) ?? 0) - (one.get(a) ?? 0));
  const first = common[0], last = common.at(-1);
  const difference = (of: Map<unknown, number>) => (of.get(first) ?? 0) - (of.get(last) ?? 0);
  if (!(difference(one) > 0.05)) return 'unknown';
  const ratio = difference(other) / difference(one);
  if (Math.abs(ratio - 1) < 0.1) return 'raw';
  return Math.abs(ratio - 1 / probeTemperature) < 0.2 ? 'sampled' : 'unknown';
}

/** Batches round differently, and a temperature or a cut that anybody would set changes more than this. */
const mostRounding = 0.1;

/** Whether two answers' first tokens come from one distribution, as far as their likeliest alternatives tell; those without any tell nothing. */
export function sameDistribution(a: unknown, b: unknown): boolean {
  const one = alternatives(a), other = alternatives(b);
  if (one.size === 0 || other.size === 0) return true;
  const common = [...one.keys()].filter((token) => other.has(token));
  return common.length > 0 && common.every((token) => Math.abs((one.get(token) ?? 0) - (other.get(token) ?? 0)) < mostRounding);
}
