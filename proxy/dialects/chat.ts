/** An OpenAI chat request, parsed into a type that cannot be wrong (https://platform.openai.com/docs/api-reference/chat/create). */
import { parseResponseFormat, type ResponseFormat } from './chat-format.ts';
import { parseMessages, type Turn } from './chat-messages.ts';
import { parseTools, type ToolChoice, type ToolDefinition } from './chat-tools.ts';
import { Fields, invalid } from './fields.ts';

export interface ChatRequest {
  readonly model: string;
  readonly messages: readonly Turn[];
  readonly tools: readonly ToolDefinition[];
  readonly toolChoice: ToolChoice;
  readonly parallelToolCalls: boolean;
  readonly temperature: number;
  /** 1 is off. */
  readonly topP: number;
  /** 0 is off. */
  readonly topK: number;
  /** 0 is off. */
  readonly minP: number;
  readonly seed: number | null;
  readonly stop: readonly string[];
  /** More tokens that end an answer, as vLLM has them. */
  readonly stopTokenIds: readonly number[];
  /** Null: as many as the context holds. */
  readonly maxTokens: number | null;
  readonly n: number;
  readonly logprobs: boolean;
  readonly topLogprobs: number;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly responseFormat: ResponseFormat;
  readonly frequencyPenalty: number;
  readonly presencePenalty: number;
  /** 1 is off. */
  readonly repetitionPenalty: number;
  readonly logitBias: readonly (readonly [tokenId: number, bias: number])[];
  /** The prompt asks for a new message of the assistant. */
  readonly addGenerationPrompt: boolean;
  /** The prompt ends inside the last message, which the answer goes on with. */
  readonly continueFinalMessage: boolean;
  /** More variables for the chat template (`chat_template_kwargs`). */
  readonly templateVariables: Readonly<Record<string, unknown>>;
}

function parseStop(body: Fields): readonly string[] {
  const stop = body.raw('stop') ?? [];
  const strings: readonly unknown[] = Array.isArray(stop) ? stop : [stop];
  return strings.map((value, i) => {
    if (typeof value === 'string' && value !== '') return value;
    throw invalid(Array.isArray(stop) ? `stop[${i}]` : 'stop', 'stop must be a string or an array of strings, none of them empty.');
  });
}

function parseLogprobs(body: Fields): { readonly logprobs: boolean; readonly topLogprobs: number } {
  const logprobs = body.boolean('logprobs') ?? false;
  const topLogprobs = body.integer('top_logprobs', { min: 0, max: 20 }) ?? 0;
  if (topLogprobs > 0 && !logprobs) throw invalid('top_logprobs', 'top_logprobs needs logprobs to be true.');
  return { logprobs, topLogprobs };
}

/** Keys are token ids. */
function parseLogitBias(body: Fields): ChatRequest['logitBias'] {
  const biases = body.object('logit_bias');
  return Object.keys(biases?.json ?? {}).map((key) => {
    const id = Number(key);
    if (!Number.isSafeInteger(id) || id < 0) throw invalid('logit_bias', `logit_bias has the key ${JSON.stringify(key)}; keys must be token ids.`);
    return [id, biases?.number(key, { min: -100, max: 100 }) ?? 0] as const;
  });
}

function parseStopTokenIds(body: Fields): readonly number[] {
  return (body.array('stop_token_ids') ?? []).map((id, i) => {
    if (typeof id === 'number' && Number.isSafeInteger(id) && id >= 0) return id;
    throw invalid(`stop_token_ids[${i}]`, 'stop_token_ids must be an array of token ids.');
  });
}

function parseStream(body: Fields): { readonly stream: boolean; readonly includeUsage: boolean } {
  const stream = body.boolean('stream') ?? false;
  const options = body.object('stream_options');
  if (options !== undefined && !stream) throw invalid('stream_options', 'stream_options needs stream to be true.');
  return { stream, includeUsage: options?.boolean('include_usage') ?? false };
}

/** As vLLM has them. */
function parsePromptEnd(body: Fields): { readonly addGenerationPrompt: boolean; readonly continueFinalMessage: boolean } {
  const addGenerationPrompt = body.boolean('add_generation_prompt') ?? true;
  const continueFinalMessage = body.boolean('continue_final_message') ?? false;
  if (continueFinalMessage && addGenerationPrompt) throw invalid('continue_final_message', 'continue_final_message needs add_generation_prompt to be false.');
  return { addGenerationPrompt, continueFinalMessage };
}

/** Unknown fields are left alone. @throws ApiError 400 with the `param` that is wrong and a sentence that says what it must be. */
export function parseChatRequest(json: unknown): ChatRequest {
  const body = new Fields(json);
  // vLLM writes "off" as -1, llama.cpp as 0.
  const topK = body.integer('top_k', { min: -1 }) ?? 0;
  return {
    model: body.required('model', body.string('model')),
    messages: parseMessages(body),
    ...parseTools(body),
    parallelToolCalls: body.boolean('parallel_tool_calls') ?? true,
    temperature: body.number('temperature', { min: 0, max: 2 }) ?? 1,
    topP: body.number('top_p', { min: 0, max: 1, aboveMin: true }) ?? 1,
    topK: Math.max(topK, 0),
    minP: body.number('min_p', { min: 0, max: 1 }) ?? 0,
    seed: body.integer('seed') ?? null,
    stop: parseStop(body),
    stopTokenIds: parseStopTokenIds(body),
    maxTokens: body.integer('max_completion_tokens', { min: 1 }) ?? body.integer('max_tokens', { min: 1 }) ?? null,
    n: body.integer('n', { min: 1, max: 128 }) ?? 1,
    ...parseLogprobs(body),
    ...parseStream(body),
    responseFormat: parseResponseFormat(body),
    frequencyPenalty: body.number('frequency_penalty', { min: -2, max: 2 }) ?? 0,
    presencePenalty: body.number('presence_penalty', { min: -2, max: 2 }) ?? 0,
    repetitionPenalty: body.number('repetition_penalty', { min: 0, aboveMin: true }) ?? 1,
    logitBias: parseLogitBias(body),
    ...parsePromptEnd(body),
    templateVariables: body.object('chat_template_kwargs')?.json ?? {},
  };
}
