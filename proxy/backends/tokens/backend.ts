/** A policy whose engine speaks token ids: chat template, tokenizer, stop strings and tool calls are dealt with here, sampling is the engine's. */
import { randomUUID } from 'node:crypto';
import type { GenerateRequest } from '../../../engine/engine.ts';
import type { ToolFormat } from '../../../model/chat/tool-calls.ts';
import type { Grammar } from '../../../model/grammar.ts';
import type { Tokenizer } from '../../../model/tokenizer.ts';
import { parseChatRequest, type ChatRequest } from '../../dialects/chat.ts';
import type { ReplyHeader } from '../../dialects/chat-reply.ts';
import { ApiError } from '../../errors.ts';
import { eachOf, type BackendReply, type Capabilities, type ChatCall, type PolicyBackend } from '../backend.ts';
import { answerGrammar, type Thinking } from './answer-grammar.ts';
import { streamed, whole } from './answering.ts';
import { ChoiceWriter } from './choice-writer.ts';
import type { TokenEngine } from './engine.ts';
import { pieces, type Piece } from './generation.ts';
import type { PromptEncoder } from './prompts.ts';
import { CLOSE_TAG, OPEN_TAG, reasoningReader } from './reasoning.ts';
import { refusal, unheld, type Abilities } from './refusals.ts';
import { remembered, type WholeChoice } from './remembered.ts';
import { SampledTurns, type Conversation } from './sampled-turns.ts';
import { templateMessages } from './template-messages.ts';

export interface TokenBackendParts {
  readonly engine: TokenEngine;
  readonly prompts: PromptEncoder;
  readonly tokenizer: Tokenizer;
  /** Public name of the model. */
  readonly model: string;
  readonly fingerprint: string;
  /** Tokens that end an answer. */
  readonly stopTokenIds: readonly number[];
  readonly templateUsesTools: boolean;
  /** Null where the model's way of writing calls is not configured. */
  readonly toolFormat: ToolFormat | null;
  /** The model may think between tags before it answers. */
  readonly thinks: boolean;
  /** Width of the logits. */
  readonly vocabSize: number;
}

const callId = (): string => `call_${randomUUID().replaceAll('-', '').slice(0, 24)}`;

export class TokenBackend implements PolicyBackend {
  readonly name: string;
  readonly fingerprint: string;
  readonly #parts: TokenBackendParts;
  readonly #abilities: Abilities;
  readonly #hasSpecialLayout: boolean;
  readonly #sampled = new SampledTurns();
  readonly #startedAt = Math.floor(Date.now() / 1000);
  #currentVersion = 0;

  constructor(parts: TokenBackendParts) {
    this.#parts = parts;
    this.name = parts.engine.name;
    this.fingerprint = parts.fingerprint;
    const { toolFormat, tokenizer, templateUsesTools, thinks, vocabSize } = parts;
    this.#abilities = { templateUsesTools, parsesToolCalls: toolFormat !== null, holdsStrictCalls: toolFormat?.textGrammar([]) !== null, vocabSize };
    const layout = [...toolFormat?.layoutTokens ?? [], ...(thinks ? [OPEN_TAG, CLOSE_TAG] : [])].map((token) => tokenizer.tokenId(token));
    this.#hasSpecialLayout = layout.some((id) => id !== undefined && tokenizer.isSpecial(id));
  }

  capabilities(): Capabilities {
    const { templateUsesTools, parsesToolCalls } = this.#abilities;
    return { exact: true, policies: this.#parts.engine.loadsPolicies, tools: templateUsesTools && parsesToolCalls, maxContext: this.#parts.engine.maxContext };
  }

  models(): Promise<readonly { readonly id: string; readonly created: number; readonly ownedBy: string }[]> {
    return Promise.resolve([{ id: this.#parts.model, created: this.#startedAt, ownedBy: 'fulgurite' }]);
  }

  /** What fails before the first token fails here, with its own status; a stream's later failure ends its frames. */
  async chat(call: ChatCall, signal: AbortSignal): Promise<BackendReply> {
    const request = this.#parse(call);
    const conversation = conversationOf(call.rollout, request);
    const promptTokenIds = await this.#encode(request, conversation, signal);
    const thinking = this.#thinking(promptTokenIds);
    const grammar = answerGrammar(request, this.#formatOf(request), thinking);
    if (grammar !== null && !this.#parts.engine.holds(grammar)) throw unheld(this.name);
    const all = remembered(pieces({
      engine: this.#parts.engine,
      request: this.#generateRequest(request, promptTokenIds, grammar, call.version),
      tokenizer: this.#parts.tokenizer,
      writers: Array.from({ length: request.n }, () => this.#newWriter(request, thinking, grammar !== null)),
      logprobs: request.logprobs,
    }, signal), (choice) => { this.#remember(conversation, promptTokenIds, choice); });
    const header: ReplyHeader = { id: call.responseId, created: Math.floor(Date.now() / 1000), model: this.#parts.model };
    const told = { header, request, promptTokens: promptTokenIds.length };
    if (!request.stream) return whole(all, told);
    const first = await all.next();
    return { kind: 'stream', frames: eachOf(streamed(resumed(first, all), told)) };
  }

  currentVersion(): number {
    return this.#currentVersion;
  }

  loadPolicy(policy: { version: number; kind: 'adapter' | 'full'; directory: string }): Promise<void> {
    return this.#parts.engine.loadPolicy(policy);
  }

  async setCurrent(version: number): Promise<void> {
    await this.#parts.engine.setCurrent(version);
    this.#currentVersion = version;
  }

  unloadPolicy(version: number): Promise<void> {
    return this.#parts.engine.unloadPolicy(version);
  }

  stats(): Promise<Readonly<Record<string, number>>> {
    return this.#parts.engine.stats();
  }

  health(): Promise<{ readonly ok: boolean; readonly detail: string }> {
    return this.#parts.engine.health();
  }

  async close(): Promise<void> {
    await Promise.all([this.#parts.engine.close(), this.#parts.prompts.close()]);
  }

  #parse(call: ChatCall): ChatRequest {
    const request = parseChatRequest(call.body);
    const { model } = this.#parts;
    if (request.model !== model) {
      throw new ApiError(404, `The model "${request.model}" does not exist here. Use "${model}".`, { code: 'model_not_found', param: 'model' });
    }
    const refused = refusal(request, this.#abilities);
    if (refused !== null) throw refused;
    return request;
  }

  async #encode(request: ChatRequest, { tools, variables, ...conversation }: Conversation, signal: AbortSignal): Promise<Int32Array> {
    const { prompts, engine } = this.#parts;
    const { messages, addGenerationPrompt, continueFinalMessage } = request;
    // A message that is to be continued is not one that has ended.
    const sampled = this.#sampled.find({ ...conversation, tools, variables, turns: continueFinalMessage ? messages.slice(0, -1) : messages });
    const ids = await prompts.encode({ messages: templateMessages(messages), tools, variables, addGenerationPrompt, continueFinalMessage, sampled }, signal);
    if (ids.length >= engine.maxContext) {
      throw new ApiError(400, `The messages are ${ids.length} tokens long, but the context is ${engine.maxContext} tokens, the answer included. Send less, or raise backend.maxContext if the model allows it.`, { code: 'context_length_exceeded', param: 'messages' });
    }
    return ids;
  }

  /** An answer that was cut off (by a stop string, say) is not the one whose ids are known. */
  #remember(conversation: Conversation, promptTokenIds: Int32Array, { answer, tokenIds, finishReason }: WholeChoice): void {
    const isWhole = finishReason === 'length' || this.#parts.stopTokenIds.includes(tokenIds.at(-1) ?? -1);
    if (isWhole) this.#sampled.remember(conversation, answer, Int32Array.from([...promptTokenIds, ...tokenIds]));
  }

  /** Some templates write the opening tag themselves, at the prompt's end. */
  #thinking(promptTokenIds: Int32Array): Thinking {
    const { thinks, tokenizer } = this.#parts;
    if (!thinks) return 'none';
    return tokenizer.decode(promptTokenIds.subarray(-8)).trimEnd().endsWith(OPEN_TAG) ? 'open' : 'tags';
  }

  #generateRequest(request: ChatRequest, promptTokenIds: Int32Array, grammar: Grammar | null, version: number | null): GenerateRequest {
    const { temperature, topP, topK, minP, seed, repetitionPenalty, frequencyPenalty, presencePenalty, logitBias } = request;
    return {
      promptTokenIds,
      n: request.n,
      maxTokens: request.maxTokens ?? this.#parts.engine.maxContext - promptTokenIds.length,
      stopTokenIds: this.#stopTokenIds(request),
      sampling: { temperature, topP, topK, minP, seed, repetitionPenalty, frequencyPenalty, presencePenalty, logitBias },
      topLogprobs: request.topLogprobs,
      ...(grammar === null ? {} : { grammar }),
      version,
    };
  }

  #stopTokenIds({ stopTokenIds }: ChatRequest): readonly number[] {
    return [...new Set([...this.#parts.stopTokenIds, ...stopTokenIds])];
  }

  /** How calls are read in the answer; null where none are. */
  #formatOf({ tools, toolChoice }: ChatRequest): ToolFormat | null {
    return tools.length > 0 && toolChoice.kind !== 'none' ? this.#parts.toolFormat : null;
  }

  #newWriter(request: ChatRequest, thinking: Thinking, isHeld: boolean): ChoiceWriter {
    const format = this.#formatOf(request);
    const readsLayout = format !== null || thinking !== 'none';
    return new ChoiceWriter({
      // Some tokenizers count the tags of calls and thoughts among their special tokens: those must not be skipped.
      text: this.#parts.tokenizer.stream({ skipSpecialTokens: !(readsLayout && this.#hasSpecialLayout) }),
      stop: request.stop,
      stopTokenIds: new Set(this.#stopTokenIds(request)),
      reasoning: thinking === 'none' ? null : reasoningReader(thinking === 'open'),
      toolCalls: (isHeld ? format?.newHeldReader?.(request.tools) : undefined) ?? format?.newReader(request.tools) ?? null,
      callsFinish: request.toolChoice.kind === 'named' ? 'stop' : 'tool_calls',
      parallelToolCalls: request.parallelToolCalls,
      newCallId: callId,
    });
  }
}

function conversationOf(rollout: string, { messages: turns, toolChoice, tools, templateVariables: variables }: ChatRequest): Conversation {
  return { rollout, turns, tools: toolChoice.kind === 'none' ? [] : tools.map(({ json }) => json), variables };
}

/** A generator that was asked for its first piece already, whole again. Leaving it early ends the generator. */
async function* resumed(first: IteratorResult<Piece, void>, rest: AsyncGenerator<Piece>): AsyncGenerator<Piece> {
  try {
    if (first.done !== true) yield first.value;
    yield* rest;
  } finally {
    await rest.return(undefined);
  }
}
