/** One choice's tokens → what the client reads: text, tool calls, the reason for the end. */
import type { ToolCallEvent, ToolCallReader } from '../../../model/chat/tool-calls.ts';
import type { TokenStream } from '../../../model/tokenizer.ts';
import type { FinishReason, ToolCallDelta } from '../../dialects/chat-reply.ts';
import type { ReasoningReader } from './reasoning.ts';
import { StopFilter } from './stop-filter.ts';

export interface Written {
  readonly content: string;
  readonly reasoning: string;
  readonly toolCalls: readonly ToolCallDelta[];
  readonly finishReason: FinishReason | null;
}

export interface WriterParts {
  readonly text: TokenStream;
  readonly stop: readonly string[];
  /** Tokens that end a choice; they have no text. */
  readonly stopTokenIds: ReadonlySet<number>;
  /** Null: the model does not think aloud. */
  readonly reasoning: ReasoningReader | null;
  /** Null: everything is text. */
  readonly toolCalls: ToolCallReader | null;
  /** Why a choice that calls ends: OpenAI's API says `stop` where the request named the function. */
  readonly callsFinish: 'tool_calls' | 'stop';
  readonly parallelToolCalls: boolean;
  newCallId(): string;
}

export class ChoiceWriter {
  readonly #parts: WriterParts;
  readonly #stops: StopFilter;
  #thought = '';
  #called = false;
  #ended = false;

  constructor(parts: WriterParts) {
    this.#parts = parts;
    this.#stops = new StopFilter(parts.stop);
  }

  /** Nothing more is read of a choice that has ended. */
  get ended(): boolean {
    return this.#ended;
  }

  /** A token; it ends the choice where it completes a stop string (or begins a second call that was not wanted). */
  push(tokenId: number): Written {
    if (this.#parts.stopTokenIds.has(tokenId)) return this.#written([], null);
    const { text, stopped } = this.#stops.push(this.#parts.text.push(tokenId));
    const said = this.#read(text);
    return stopped ? this.#written([...said, ...this.#readEnd()], 'stop') : this.#written(said, null);
  }

  /** The engine ended the choice: what was held back leaves. */
  finish(reason: 'stop' | 'length'): Written {
    const { text, stopped } = this.#stops.push(this.#parts.text.end());
    const rest = stopped ? text : text + this.#stops.end();
    return this.#written([...this.#read(rest), ...this.#readEnd()], reason);
  }

  #read(text: string): readonly ToolCallEvent[] {
    if (text === '') return [];
    const { reasoning, said } = this.#parts.reasoning?.push(text) ?? { reasoning: '', said: text };
    this.#thought += reasoning;
    return this.#readSaid(said);
  }

  #readSaid(text: string): readonly ToolCallEvent[] {
    if (text === '') return [];
    return this.#parts.toolCalls?.push(text) ?? [{ type: 'text', text }];
  }

  #readEnd(): readonly ToolCallEvent[] {
    const { reasoning, said } = this.#parts.reasoning?.end() ?? { reasoning: '', said: '' };
    this.#thought += reasoning;
    return [...this.#readSaid(said), ...this.#parts.toolCalls?.end() ?? []];
  }

  #written(said: readonly ToolCallEvent[], reason: 'stop' | 'length' | null): Written {
    let content = '';
    let end = reason;
    const toolCalls: ToolCallDelta[] = [];
    for (const piece of said) {
      if (piece.type !== 'text' && piece.index > 0 && !this.#parts.parallelToolCalls) {
        end = 'stop';
        break;
      }
      if (piece.type === 'text') content += piece.text;
      else if (piece.type === 'arguments') toolCalls.push({ index: piece.index, function: { arguments: piece.text } });
      else toolCalls.push({ index: piece.index, id: this.#parts.newCallId(), type: 'function', function: { name: piece.name, arguments: '' } });
    }
    this.#called ||= toolCalls.length > 0;
    this.#ended ||= end !== null;
    const reasoning = this.#thought;
    this.#thought = '';
    return { content, reasoning, toolCalls, finishReason: end === 'stop' && this.#called ? this.#parts.callsFinish : end };
  }
}
