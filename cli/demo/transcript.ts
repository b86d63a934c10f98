/** A rollout's conversation as people read it, from its recorded steps. */
import type { ExportedStep } from '../../store/export.ts';

interface Message {
  readonly role: string;
  readonly content?: unknown;
  readonly tool_calls?: readonly { readonly function: { readonly name: string; readonly arguments: string } }[];
}

/** One line for each message: what the last call was asked, and what it answered. For agents that do not stream. */
export function transcript(steps: readonly Pick<ExportedStep, 'request' | 'response' | 'choice'>[]): string[] {
  const last = steps.at(-1);
  if (!last?.request || !last.response) return ['(no call was recorded)'];
  // Both are the chat bodies that this server itself has read and written.
  const { messages } = JSON.parse(last.request) as { messages: readonly Message[] };
  const { choices } = JSON.parse(last.response) as { choices: readonly { message: Message }[] };
  const answer = choices[last.choice]?.message;
  return [...messages.filter(({ role }) => role !== 'system'), ...(answer ? [answer] : [])].map(line);
}

function line({ role, content, tool_calls: calls }: Message): string {
  const said = typeof content === 'string' && content !== '' ? [content] : [];
  const called = (calls ?? []).map(({ function: { name, arguments: text } }) => `${name}(${text})`);
  return `${role.padEnd(9)} ${[...said, ...called].join('  ') || '(nothing)'}`;
}
