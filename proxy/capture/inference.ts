/**
 * Placing a call that says nothing about itself (DESIGN: "Whose step is this"): messages that extend an earlier call's messages
 * plus its answer, under the same key, continue that call's rollout.
 */
import { hash } from 'node:crypto';
import { BoundedMap } from './bounded-map.ts';

export interface Message {
  readonly role: string;
  readonly content?: unknown;
  readonly tool_calls?: unknown;
  readonly tool_call_id?: unknown;
}

interface Ending {
  readonly rolloutId: string;
  continued: boolean;
}

const maxEndings = 50_000;

export class TrajectoryInference {
  /** Hash of (key, messages, answer) → the rollouts that stand there. Twins (same question, same answer) share an entry. */
  readonly #endings = new BoundedMap<string, Ending[]>(maxEndings);

  /** The rollout that a conversation continues, or null. */
  find(conversation: Conversation): string | null {
    for (const standing of conversation.toReversed()) {
      const endings = this.#endings.get(standing);
      if (endings === undefined) continue;
      // Of twins, one that nobody has gone on from yet; else this is a branch of the newest.
      const ending = endings.find((candidate) => !candidate.continued) ?? endings.at(-1);
      if (ending === undefined) continue;
      ending.continued = true;
      return ending.rolloutId;
    }
    return null;
  }

  /** Remembers where a call ended: its messages and the answer that the client was given. */
  remember(conversation: Conversation, answer: Message, rolloutId: string): void {
    const key = standingAfter(conversation.at(-1) ?? '', answer);
    const others = (this.#endings.get(key) ?? []).filter((ending) => !ending.continued && ending.rolloutId !== rolloutId);
    this.#endings.set(key, [...others.slice(-15), { rolloutId, continued: false }]);
  }
}

/** Where a caller's conversation stands after each of its messages: hashes, the first of which are those of all that begin alike. */
export type Conversation = readonly string[];

export function conversationOf(keyHash: string | null, messages: readonly Message[]): Conversation {
  let standing = keyHash ?? '';
  return messages.map((message) => (standing = standingAfter(standing, message)));
}

/** 128 bits, as characters: there are many to remember. */
const standingAfter = (before: string, message: Message): string => hash('sha256', `${before}\n${canonical(message)}`, 'buffer').toString('latin1', 0, 16);

/** What of a message survives a client's own bookkeeping: null and '' are one, text parts are joined, arguments are parsed. */
function canonical(message: Message): string {
  const calls = Array.isArray(message.tool_calls) ? message.tool_calls.map(canonicalToolCall) : [];
  return JSON.stringify([message.role, canonicalContent(message.content), calls, message.tool_call_id ?? null]);
}

function canonicalContent(content: unknown): unknown {
  if (content === null || content === undefined) return '';
  if (!Array.isArray(content)) return content;
  const parts: readonly unknown[] = content;
  const texts = parts.map((part) => (isRecord(part) && part['type'] === 'text' ? part['text'] : null));
  return texts.every((text) => typeof text === 'string') ? texts.join('') : content;
}

function canonicalToolCall(call: unknown): unknown {
  if (!isRecord(call) || !isRecord(call['function'])) return call;
  const { name, arguments: text } = call['function'];
  return [call['id'] ?? null, name, typeof text === 'string' ? canonicalJson(text) : text];
}

function canonicalJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // A model may write arguments that are not JSON; clients send those back as they are.
    return text;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
