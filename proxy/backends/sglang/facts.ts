/** What an SGLang server says of itself and shows of itself, asked for once at the start. */
import type { Model } from '../../../model/model.ts';
import { isRecord, records } from '../openai/json.ts';
import { logprobsMode, probeTemperature } from '../openai/probe.ts';
import type { TokenServer } from '../tokens/server.ts';
import { requireSameTokens, sampleText, unsuitable } from '../tokens/suitable.ts';

export interface ServerFacts {
  readonly maxContext: number;
  /** `raw` where it runs with SGLANG_RETURN_ORIGINAL_LOGPROB. */
  readonly logprobs: 'sampled' | 'raw';
}

/** @throws ApiError in one sentence that says what to do */
export async function readFacts(server: TokenServer, { tokenizer, chatTemplate }: Pick<Model, 'tokenizer' | 'chatTemplate'>, signal: AbortSignal): Promise<ServerFacts> {
  const [models, tokenized] = await Promise.all([server.get('/v1/models', signal), server.post('/tokenize', { prompt: sampleText, add_special_tokens: false }, signal)]);
  const [model] = records(isRecord(models) ? models['data'] : []);
  const maxContext = model?.['max_model_len'];
  if (typeof maxContext !== 'number') throw unsuitable(server, 'It does not say its context (/v1/models): is it an SGLang server, and recent?');
  requireSameTokens(server, tokenizer, tokenized);
  // After a prompt of the model's own form, few tokens are likely.
  const prompt = chatTemplate.source === '' ? 'The capital of France is' : chatTemplate.render({ messages: [{ role: 'user', content: 'Hi' }], addGenerationPrompt: true });
  const [atOne, atProbe] = await Promise.all([1, probeTemperature].map((temperature) => probe(server, tokenizer.encode(prompt), temperature, signal)));
  // What cannot be told is taken for raw: then nothing is trained on that should not be.
  return { maxContext, logprobs: logprobsMode(atOne, atProbe) === 'sampled' ? 'sampled' : 'raw' };
}

/** One token with its likeliest alternatives, as an OpenAI answer has them. */
async function probe(server: TokenServer, promptTokenIds: Int32Array, temperature: number, signal: AbortSignal): Promise<unknown> {
  const answer = await server.post('/generate', {
    input_ids: [...promptTokenIds], sampling_params: { temperature, top_p: 1, top_k: -1, min_p: 0, max_new_tokens: 1 }, return_logprob: true, top_logprobs_num: 5,
  }, signal);
  const meta = isRecord(answer) && isRecord(answer['meta_info']) ? answer['meta_info'] : {};
  const tops: unknown = Array.isArray(meta['output_top_logprobs']) ? meta['output_top_logprobs'][0] : null;
  const alternatives = Array.isArray(tops) ? tops.map((entry: unknown) => (Array.isArray(entry) ? { logprob: entry[0] as unknown, token: entry[1] as unknown } : {})) : [];
  return { choices: [{ logprobs: { content: [{ top_logprobs: alternatives }] } }] };
}
