/** Parsed messages → what Hugging Face chat templates read. */
import type { ChatMessage } from '../../../model/chat/template.ts';
import type { ToolCall, Turn } from '../../dialects/chat-messages.ts';

/**
 * Templates print arguments with `tojson`, so they get the object; arguments that are not JSON (a model wrote them) stay the text
 * they are.
 */
function parsedArguments(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const templateCall = (call: ToolCall) => ({ id: call.id, type: 'function', function: { name: call.name, arguments: parsedArguments(call.arguments) } });

function templateMessage(turn: Turn): ChatMessage {
  if (turn.role === 'assistant') {
    const { toolCalls, reasoning, ...message } = turn;
    // Templates test `tool_calls` for being there: an empty list is not the same in all of them.
    return { ...message, ...(reasoning === undefined ? {} : { reasoning_content: reasoning }), ...(toolCalls.length === 0 ? {} : { tool_calls: toolCalls.map(templateCall) }) };
  }
  if (turn.role === 'tool') {
    const { toolCallId, ...message } = turn;
    return { ...message, tool_call_id: toolCallId };
  }
  return turn;
}

export const templateMessages = (turns: readonly Turn[]): ChatMessage[] => turns.map(templateMessage);
