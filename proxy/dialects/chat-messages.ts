/** The `messages` of a chat request, parsed (https://platform.openai.com/docs/api-reference/chat/create#chat-create-messages). */
import { Fields, invalid } from './fields.ts';

export interface ToolCall {
  readonly id: string;
  readonly name: string;
  /** JSON as the model wrote it: not always valid. */
  readonly arguments: string;
}

export type Turn =
  | { readonly role: 'system' | 'user'; readonly content: string; readonly name?: string }
  | { readonly role: 'assistant'; readonly content: string; readonly toolCalls: readonly ToolCall[]; readonly reasoning?: string }
  /** `name` is the function's, looked up among the calls before it. */
  | { readonly role: 'tool'; readonly content: string; readonly toolCallId: string; readonly name?: string };

/** Text of a content part; models here read text only. */
function partText(value: unknown, path: string): string {
  const part = new Fields(value, path);
  const type = part.required('type', part.string('type'));
  if (type === 'text') return part.required('text', part.string('text'));
  if (type === 'refusal') return part.required('refusal', part.string('refusal'));
  throw invalid(`${path}.type`, `${path}.type is "${type}", but this model reads text only: send parts of type "text".`);
}

/** A string, or text parts joined by newlines as vLLM and llama.cpp join them. Absent: undefined. */
function contentText(message: Fields): string | undefined {
  const content = message.raw('content');
  if (Array.isArray(content)) {
    return content.map((part, i) => partText(part, `${message.param('content')}[${i}]`)).join('\n');
  }
  if (content === undefined || typeof content === 'string') return content;
  throw invalid(message.param('content'), `${message.param('content')} must be a string or an array of text parts.`);
}

function parseToolCall(value: unknown, path: string): ToolCall {
  const call = new Fields(value, path);
  const called = call.required('function', call.object('function'));
  return {
    id: call.required('id', call.string('id')),
    name: called.required('name', called.string('name')),
    arguments: called.required('arguments', called.string('arguments')),
  };
}

function parseMessage(value: unknown, path: string, toolNames: Map<string, string>): Turn {
  const message = new Fields(value, path);
  const role = message.required('role', message.string('role'));
  const content = contentText(message);
  const name = message.string('name');
  switch (role) {
    case 'system': case 'developer': case 'user':
      return {
        role: role === 'user' ? 'user' : 'system',
        content: message.required('content', content),
        ...(name === undefined ? {} : { name }),
      };
    case 'assistant': {
      const toolCalls = (message.array('tool_calls') ?? []).map((call, i) => parseToolCall(call, `${path}.tool_calls[${i}]`));
      for (const call of toolCalls) toolNames.set(call.id, call.name);
      if (content === undefined && toolCalls.length === 0) message.required('content', content);
      // What it thought, as vLLM, DeepSeek and llama.cpp give it to clients.
      const reasoning = message.string('reasoning_content');
      return { role, content: content ?? '', toolCalls, ...(reasoning === undefined ? {} : { reasoning }) };
    }
    case 'tool': {
      const toolCallId = message.required('tool_call_id', message.string('tool_call_id'));
      const called = name ?? toolNames.get(toolCallId);
      return { role, toolCallId, content: message.required('content', content), ...(called === undefined ? {} : { name: called }) };
    }
    default:
      throw invalid(`${path}.role`, `${path}.role is "${role}"; it must be "system", "developer", "user", "assistant" or "tool".`);
  }
}

/** @throws ApiError 400 with `param` like `messages[1].content`. */
export function parseMessages(body: Fields): readonly Turn[] {
  const messages = body.required('messages', body.array('messages'));
  if (messages.length === 0) throw invalid('messages', 'messages must hold at least one message.');
  const toolNames = new Map<string, string>();
  return messages.map((message, i) => parseMessage(message, `messages[${i}]`, toolNames));
}
