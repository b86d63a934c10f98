/** Tool calls in a model's text, told apart from what it says. */
import type { Grammar, JsonSchema } from '../grammar.ts';

export type ToolCallEvent =
  | { readonly type: 'text'; readonly text: string }
  /** A call begins; `index` counts calls from 0. */
  | { readonly type: 'call'; readonly index: number; readonly name: string }
  /** A piece of the call's arguments: JSON, as the model wrote it. */
  | { readonly type: 'arguments'; readonly index: number; readonly text: string };

/** Reads a text as it grows. The events' texts joined do not depend on how the text is cut into pieces. */
export interface ToolCallReader {
  push(text: string): ToolCallEvent[];
  /** What was held back: an unfinished call turns out to be text. */
  end(): ToolCallEvent[];
}

/** A function that the model may call. */
export interface FunctionTool {
  readonly name: string;
  /** Of its arguments, an object. */
  readonly parameters: JsonSchema;
  /** Calls must have valid arguments (OpenAI's `strict`). */
  readonly strict: boolean;
}

/** How a family of models writes calls. */
export interface ToolFormat {
  /** Tokens that are calls' layout, though some tokenizers count them among the special ones: they must not be skipped. */
  readonly layoutTokens: readonly string[];
  newReader(tools: readonly FunctionTool[]): ToolCallReader;
  /** Of a text that one of the grammars below held, where its calls can be read as they are written; else `newReader` reads it. */
  newHeldReader?(tools: readonly FunctionTool[]): ToolCallReader;
  /** One call, or more, and nothing else. */
  callsGrammar(tools: readonly FunctionTool[], onlyOne: boolean): Grammar;
  /** Any text with calls; those of strict tools are valid. Null where calls cannot be told from text before they are over. */
  textGrammar(tools: readonly FunctionTool[]): Grammar | null;
}

export interface SaidAndCalled {
  readonly content: string;
  readonly toolCalls: readonly { readonly name: string; readonly argumentsJson: string }[];
}

/** A whole text at once. */
export function readToolCalls(reader: ToolCallReader, text: string): SaidAndCalled {
  let content = '';
  const toolCalls: { name: string; argumentsJson: string }[] = [];
  for (const event of [...reader.push(text), ...reader.end()]) {
    if (event.type === 'text') content += event.text;
    else if (event.type === 'call') toolCalls.push({ name: event.name, argumentsJson: '' });
    else toolCalls[event.index]!.argumentsJson += event.text;
  }
  return { content, toolCalls };
}

/** Arguments that a grammar holds a call to: the tool's own where it is strict or must be called, else any object. */
export const argumentsGrammar = ({ parameters }: FunctionTool): Grammar => ({ type: 'json', schema: parameters });

export const looseArguments = (tool: FunctionTool): Grammar => (tool.strict ? argumentsGrammar(tool) : { type: 'json', schema: { type: 'object' } });
