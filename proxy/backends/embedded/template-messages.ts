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
  switch (turn.role) {
    case 'system': case 'user':
      return turn;
    case 'assistant':
      // Templates test `tool_calls` for being there: an empty list is not the same in all of them.
      return { role: turn.role, content: turn.content, ...(turn.toolCalls.length === 0 ? {} : { tool_calls: turn.toolCalls.map(templateCall) }) };
    case 'tool': {
      const { toolCallId, ...message } = turn;
      return { ...message, tool_call_id: toolCallId };
    }
  }
}

export const templateMessages = (turns: readonly Turn[]): ChatMessage[] => turns.map(templateMessage);
