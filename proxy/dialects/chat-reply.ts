/**
 * Chat completions as clients see them: the whole object, and its stream of chunks
 * (https://platform.openai.com/docs/api-reference/chat/object and …/chat-streaming). Pure formatting.
 */

/** What all chunks of one answer share. */
export interface ReplyHeader {
  readonly id: string;
  /** Unix seconds. */
  readonly created: number;
  readonly model: string;
}

export interface ToolCallDelta {
  readonly index: number;
  readonly id?: string;
  readonly type?: 'function';
  readonly function: { readonly name?: string; readonly arguments: string };
}

export interface Delta {
  readonly role?: 'assistant';
  readonly content?: string;
  readonly reasoning_content?: string;
  readonly tool_calls?: readonly ToolCallDelta[];
}

export interface TokenLogprob {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: readonly number[];
}

export interface LogprobEntry extends TokenLogprob {
  readonly top_logprobs: readonly TokenLogprob[];
}

export type FinishReason = 'stop' | 'length' | 'tool_calls';

export interface AssistantMessage {
  readonly content: string;
  /** Text between thinking tags; empty where there was none. */
  readonly reasoning: string;
  readonly toolCalls: readonly { readonly id: string; readonly name: string; readonly arguments: string }[];
}

export interface ReplyChoice {
  readonly index: number;
  readonly message: AssistantMessage;
  /** Null unless asked for. */
  readonly logprobs: readonly LogprobEntry[] | null;
  readonly finishReason: FinishReason;
}

export interface TokenCounts {
  readonly promptTokens: number;
  readonly completionTokens: number;
}

/** Names the policy version that sampled the tokens. */
export const fingerprint = (version: number): string => `fulgurite-v${version}`;

const usageObject = ({ promptTokens, completionTokens }: TokenCounts) => ({
  prompt_tokens: promptTokens, completion_tokens: completionTokens, total_tokens: promptTokens + completionTokens,
});

const logprobsObject = (entries: readonly LogprobEntry[] | null) => entries === null ? null : { content: entries, refusal: null };

export interface ChunkChoice {
  readonly index: number;
  readonly delta: Delta;
  readonly logprobs?: readonly LogprobEntry[] | null;
  readonly finishReason?: FinishReason | null;
}

const chunkHead = ({ id, created, model }: ReplyHeader, version: number) => ({
  id, object: 'chat.completion.chunk', created, model, system_fingerprint: fingerprint(version),
});

/** One chunk of a stream. With `includeUsage` every chunk says `usage: null`, and `usageChunk` ends the stream. */
export function chunk(header: ReplyHeader, version: number, choice: ChunkChoice, includeUsage: boolean): object {
  return {
    ...chunkHead(header, version),
    choices: [{
      index: choice.index,
      delta: choice.delta,
      logprobs: logprobsObject(choice.logprobs ?? null),
      finish_reason: choice.finishReason ?? null,
    }],
    ...(includeUsage ? { usage: null } : {}),
  };
}

/** The last chunk of a stream whose client asked for `stream_options.include_usage`. */
export function usageChunk(header: ReplyHeader, version: number, counts: TokenCounts): object {
  return {
    ...chunkHead(header, version),
    choices: [],
    usage: usageObject(counts),
  };
}

function messageObject({ content, reasoning, toolCalls }: AssistantMessage): object {
  return {
    role: 'assistant',
    content: content === '' && toolCalls.length > 0 ? null : content,
    ...(reasoning === '' ? {} : { reasoning_content: reasoning }),
    refusal: null,
    ...(toolCalls.length === 0 ? {} : { tool_calls: toolCalls.map((call) => ({ id: call.id, type: 'function', function: { name: call.name, arguments: call.arguments } })) }),
  };
}

/** The whole answer of a call that does not stream. `version` is the one that sampled the last token. */
export function completion(header: ReplyHeader, version: number, choices: readonly ReplyChoice[], counts: TokenCounts): object {
  return {
    id: header.id,
    object: 'chat.completion',
    created: header.created,
    model: header.model,
    choices: choices.map((choice) => ({
      index: choice.index,
      message: messageObject(choice.message),
      logprobs: logprobsObject(choice.logprobs),
      finish_reason: choice.finishReason,
    })),
    usage: usageObject(counts),
    system_fingerprint: fingerprint(version),
  };
}
