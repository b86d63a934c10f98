/** What a vLLM server does by its flags, found out by asking it for one token, three times. */
import { ApiError } from '../../errors.ts';
import type { JsonObject } from '../openai/json.ts';
import { isExactAnswer, logprobsMode, probeBody, probeTemperature, sameDistribution, type LogprobsMode } from '../openai/probe.ts';
import { parseJsonOrNull, upstreamError } from '../openai/upstream.ts';
import type { Replica } from './replica.ts';

export interface Abilities {
  readonly logprobs: LogprobsMode;
  /** What a request leaves out is neutral: temperature 1, the whole distribution, no penalties. Else the model's generation_config.json decides, unseen. */
  readonly neutralDefaults: boolean;
}

/** A server's first answer compiles kernels. */
const probeTimeoutMs = 120_000;

const neutral = { top_p: 1, top_k: -1, min_p: 0, repetition_penalty: 1, presence_penalty: 0, frequency_penalty: 0 };

/** @throws ApiError where the server does not answer, or gives no token ids */
export async function probeReplica(replica: Replica, model: string, signal: AbortSignal): Promise<Abilities> {
  const within = AbortSignal.any([signal, AbortSignal.timeout(probeTimeoutMs)]);
  const { temperature: _, ...unset } = probeBody(model, 1);
  const [atOne, atProbe, byDefault] = await Promise.all([
    askOnce(replica, { ...probeBody(model, 1), ...neutral }, within), askOnce(replica, { ...probeBody(model, probeTemperature), ...neutral }, within), askOnce(replica, unset, within),
  ]);
  if (!isExactAnswer(atOne)) throw new ApiError(502, `It gives no token ids (return_token_ids): vLLM 0.10.2 or later is needed. Serve it as backend.kind "openai" to record its calls as inexact.`, { code: 'no_token_ids', type: 'upstream_error' });
  return { logprobs: logprobsMode(atOne, atProbe), neutralDefaults: sameDistribution(atOne, byDefault) };
}

async function askOnce(replica: Replica, body: JsonObject, signal: AbortSignal): Promise<unknown> {
  const reply = await replica.post(body, {}, signal);
  const text = await reply.text();
  if (reply.statusCode >= 400) throw upstreamError(reply, text);
  return parseJsonOrNull(text);
}

/** What a request must say where the server's defaults are not neutral. */
const decisive = ['temperature', 'top_p', 'top_k', 'min_p', 'repetition_penalty'] as const;

/** Why what a server with these abilities records of a call is not what training needs, or null. Greedy calls record raw log-probs by design. */
export function unusable({ logprobs, neutralDefaults }: Abilities, body: JsonObject): 'raw_logprobs' | 'server_defaults' | null {
  if (!neutralDefaults && decisive.some((field) => (body[field] ?? null) === null)) return 'server_defaults';
  const temperature = body['temperature'] ?? 1;
  return logprobs === 'raw' && temperature !== 1 && temperature !== 0 ? 'raw_logprobs' : null;
}
