/** Tool calls in a model's text, told apart from what it says. */

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
