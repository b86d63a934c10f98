/** The assistant message that a chat client was given: from a response body, or put together from a stream's chunks. */
import type { Message } from './inference.ts';

interface ToolCall {
  id?: string;
  type: 'function';
  function: { name: string; arguments: string };
}

/** One message per choice, by choice index. Unknown shapes give no message. */
export function answersOfBody(body: unknown): Map<number, Message> {
  const answers = new Map<number, Message>();
  for (const choice of choicesOf(body)) {
    const message = choice['message'];
    if (isRecord(message)) answers.set(indexOf(choice), { ...message, role: textOf(message['role']) ?? 'assistant' });
  }
  return answers;
}

/** Puts `delta`s together as OpenAI's clients do. `chunks` are the `data:` payloads, in order. */
export function answersOfChunks(chunks: readonly string[]): Map<number, Message> {
  const answers = new Map<number, { role: string; content: string | null; tool_calls?: ToolCall[] }>();
  for (const chunk of chunks) {
    for (const choice of choicesOf(parseChunk(chunk))) {
      const index = indexOf(choice);
      const answer = answers.get(index) ?? { role: 'assistant', content: null };
      answers.set(index, answer);
      const delta = choice['delta'];
      if (!isRecord(delta)) continue;
      const content = textOf(delta['content']);
      if (content !== null) answer.content = (answer.content ?? '') + content;
      const calls: readonly unknown[] = Array.isArray(delta['tool_calls']) ? delta['tool_calls'] : [];
      for (const call of calls) if (isRecord(call)) addToolCall((answer.tool_calls ??= []), call);
    }
  }
  return answers;
}

/** A server may send what is not JSON; it passes, and says nothing. */
export function parseChunk(chunk: string): unknown {
  try {
    return JSON.parse(chunk);
  } catch {
    return null;
  }
}

function addToolCall(calls: ToolCall[], delta: Record<string, unknown>): void {
  const index = indexOf(delta);
  const call = (calls[index] ??= { type: 'function', function: { name: '', arguments: '' } });
  const id = textOf(delta['id']);
  if (id !== null) call.id = id;
  if (!isRecord(delta['function'])) return;
  call.function.name += textOf(delta['function']['name']) ?? '';
  call.function.arguments += textOf(delta['function']['arguments']) ?? '';
}

function choicesOf(body: unknown): Record<string, unknown>[] {
  if (!isRecord(body) || !Array.isArray(body['choices'])) return [];
  const choices: readonly unknown[] = body['choices'];
  return choices.filter((choice) => isRecord(choice));
}

function indexOf(choice: Record<string, unknown>): number {
  return typeof choice['index'] === 'number' ? choice['index'] : 0;
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
