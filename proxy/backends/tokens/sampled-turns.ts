/** What this engine sampled, found again when a client sends it back as history (continuation.ts). */
import { hash } from 'node:crypto';
import type { Turn } from '../../dialects/chat-messages.ts';
import type { SampledHistory } from './continuation.ts';

/** Where a conversation takes place: the same words elsewhere may have been sampled as other ids. */
export interface Conversation {
  readonly rollout: string;
  readonly turns: readonly Turn[];
  /** What else the prompt was rendered from. */
  readonly tools: readonly unknown[];
  readonly variables: Readonly<Record<string, unknown>>;
}

/** Memory for ids, in tokens. */
const maxTokens = 8 * 1024 * 1024;

export class SampledTurns {
  /** By a hash of all that led to it, the answer included; least recently used first. */
  readonly #answers = new Map<string, Int32Array>();
  #tokens = 0;

  /** @param tokenIds the prompt's ids and the answer's */
  remember(conversation: Conversation, answer: Turn & { readonly role: 'assistant' }, tokenIds: Int32Array): void {
    const key = keys({ ...conversation, turns: [...conversation.turns, answer] }).at(-1);
    if (key === undefined) return;
    this.#forget(key);
    this.#answers.set(key, tokenIds);
    this.#tokens += tokenIds.length;
    for (const oldest of this.#answers.keys()) {
      if (this.#tokens <= maxTokens) break;
      this.#forget(oldest);
    }
  }

  /** The longest beginning of a conversation that ends in an answer sampled here. */
  find(conversation: Conversation): SampledHistory | null {
    if (this.#answers.size === 0) return null;
    const all = keys(conversation);
    for (let last = all.length - 1; last >= 0; last--) {
      const key = all[last] ?? '';
      const tokenIds = this.#answers.get(key);
      if (!tokenIds) continue;
      this.#answers.delete(key);
      this.#answers.set(key, tokenIds);
      return { turns: last + 1, tokenIds };
    }
    return null;
  }

  #forget(key: string): void {
    this.#tokens -= this.#answers.get(key)?.length ?? 0;
    this.#answers.delete(key);
  }
}

/** keys[i] covers turns 0…i. */
function keys({ rollout, turns, tools, variables }: Conversation): string[] {
  let previous = hash('sha256', JSON.stringify([rollout, tools, variables]), 'base64');
  return turns.map((turn) => (previous = hash('sha256', `${previous}\n${JSON.stringify(canonical(turn))}`, 'base64')));
}

/** A client may write a call's arguments anew: they are compared as the JSON that they are. */
function canonical(turn: Turn): unknown {
  if (turn.role !== 'assistant') return turn;
  return [turn.content, turn.reasoning ?? '', turn.toolCalls.map(({ id, name, arguments: text }) => [id, name, parsed(text)])];
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text; // a model wrote what is no JSON; clients send it back as it is
  }
}
