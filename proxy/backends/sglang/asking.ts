/** A request for tokens → the body of SGLang's `/generate` (docs.sglang.ai, "Sampling Parameters"; GenerateReqInput in 0.5). Pure. */
import type { GenerateRequest, SamplingOptions } from '../../../engine/engine.ts';
import { gbnf } from '../tokens/gbnf.ts';

/** Why log-probs are not of the distribution that was sampled from: SGLang takes them after the temperature and before top-p, top-k and min-p. */
export function unusableReason({ temperature, topP, topK, minP }: SamplingOptions, logprobs: 'sampled' | 'raw'): 'raw_logprobs' | null {
  if (temperature === 0) return null;
  const isWhole = topP === 1 && topK === 0 && minP === 0;
  return isWhole && (temperature === 1 || logprobs === 'sampled') ? null : 'raw_logprobs';
}

/**
 * The choices are sent as a batch of one prompt, each with its own seed; their events say which is which. Known prompts are shared by the server.
 *
 * @param adapter the name under which the policy was loaded; null: the base model
 */
export function generateBody(request: GenerateRequest, adapter: string | null): Readonly<Record<string, unknown>> {
  const choices = Array.from({ length: request.n }, (_, choice) => choice);
  return {
    input_ids: choices.map(() => [...request.promptTokenIds]),
    sampling_params: choices.map((choice) => samplingParams(request, choice)),
    return_logprob: true,
    top_logprobs_num: request.topLogprobs,
    stream: true,
    ...(adapter === null ? {} : { lora_path: adapter }),
  };
}

/** Everything is said: what a request leaves out is as the server's `--sampling-defaults` have it. */
function samplingParams({ sampling, grammar, maxTokens, stopTokenIds }: GenerateRequest, choice: number): Readonly<Record<string, unknown>> {
  const { seed, logitBias = [] } = sampling;
  return {
    max_new_tokens: maxTokens,
    temperature: sampling.temperature,
    top_p: sampling.topP,
    top_k: sampling.topK === 0 ? -1 : sampling.topK,
    min_p: sampling.minP,
    frequency_penalty: sampling.frequencyPenalty,
    presence_penalty: sampling.presencePenalty,
    repetition_penalty: sampling.repetitionPenalty,
    stop_token_ids: stopTokenIds,
    ignore_eos: false,
    ...(seed === null ? {} : { sampling_seed: seed + choice }),
    ...(logitBias.length === 0 ? {} : { logit_bias: Object.fromEntries(logitBias) }),
    ...(grammar === undefined ? {} : { ebnf: gbnf(grammar) }),
  };
}
