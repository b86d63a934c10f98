/** A request for tokens → the body of llama.cpp's `/completion` (tools/server/README.md there, "POST /completion"). Pure. */
import type { GenerateRequest, SamplingOptions } from '../../../engine/engine.ts';
import { gbnf } from '../tokens/gbnf.ts';

/** One of the adapters that the server was started with, and how much of it is added. */
export interface AdapterScale {
  readonly id: number;
  readonly scale: number;
}

/** `raw`: log-probs of the model's own distribution. `sampled`: probabilities after all of the samplers, which costs the server a sort of the vocabulary a token. */
export type Probabilities = 'raw' | 'sampled';

/** Which of the two is the distribution that a request samples from; of a greedy one the raw log-prob is reported, as the embedded engine does. */
export function probabilitiesOf(sampling: SamplingOptions): Probabilities {
  const { temperature, topP, topK, minP, repetitionPenalty, frequencyPenalty, presencePenalty, logitBias = [] } = sampling;
  if (temperature === 0) return 'raw';
  const isWhole = topP === 1 && topK === 0 && minP === 0;
  const isPlain = repetitionPenalty === 1 && frequencyPenalty === 0 && presencePenalty === 0 && logitBias.length === 0;
  return temperature === 1 && isWhole && isPlain ? 'raw' : 'sampled';
}

/** What a server may be started with, and a request must not inherit. */
const nothingElse = { dynatemp_range: 0, mirostat: 0, backend_sampling: false, ignore_eos: false, n_keep: 0, t_max_predict_ms: 0 };

/**
 * @param adapters every adapter of the server; none is sent where it has none. Their keys and values are not reused for another's, so nothing is kept then:
 *   b11434 finds known prompts without asking which adapter read them.
 */
export function completionBody(request: GenerateRequest, adapters: readonly AdapterScale[]): Readonly<Record<string, unknown>> {
  const { sampling, grammar } = request;
  return {
    prompt: [...request.promptTokenIds],
    n_predict: request.maxTokens,
    n_cmpl: request.n,
    stream: true,
    return_tokens: true,
    n_probs: Math.max(1, request.topLogprobs),
    post_sampling_probs: probabilitiesOf(sampling) === 'sampled',
    // In this engine's order, where llama.cpp's own divides by the temperature last.
    samplers: ['penalties', 'temperature', 'min_p', 'top_k', 'top_p'],
    temperature: sampling.temperature,
    min_p: sampling.minP,
    top_k: sampling.topK,
    top_p: sampling.topP,
    repeat_penalty: sampling.repetitionPenalty,
    frequency_penalty: sampling.frequencyPenalty,
    presence_penalty: sampling.presencePenalty,
    // Penalties are for all that was said.
    repeat_last_n: request.promptTokenIds.length + request.maxTokens,
    seed: seedOf(sampling.seed),
    ...(sampling.logitBias === undefined ? {} : { logit_bias: sampling.logitBias }),
    ...(grammar === undefined ? {} : { grammar: gbnf(grammar) }),
    ...(adapters.length === 0 ? { cache_prompt: true } : { lora: adapters, cache_prompt: false }),
    ...nothingElse,
  };
}

/** 32 bits; all ones mean "at random" there, and so does -1. */
function seedOf(seed: number | null): number {
  return seed === null ? -1 : ((seed % 0xffff_ffff) + 0xffff_ffff) % 0xffff_ffff;
}
