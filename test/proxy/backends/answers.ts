/** Putting a backend's reply together: what the client saw, and what was kept. */
import assert from 'node:assert/strict';
import type { BackendReply, CaptureDelta, ChatCall, Frame, Frames } from '../../../proxy/backends/backend.ts';
import { pulled } from '../../../proxy/pulled.ts';

export interface Kept {
  promptTokenIds: number[] | null;
  ids: number[];
  logprobs: number[];
  versions: number[];
  finishReason: string | null;
  quarantine: string | null;
}

export interface SeenChoice {
  content: string;
  toolCalls: { id: string; name: string; arguments: string }[];
  logprobs: { token: string; logprob: number; bytes: number[]; top_logprobs: unknown[] }[];
  finishReason: string | null;
}

export interface Outcome {
  readonly status: number;
  readonly choices: SeenChoice[];
  readonly usage: Record<string, number> | null;
  /** By choice. */
  readonly kept: Kept[];
  readonly keptUsage: CaptureDelta['usage'] | null;
  /** The chunks as the client saw them; empty without a stream. */
  readonly chunks: Record<string, unknown>[];
  readonly body: Record<string, unknown> | null;
}

export const chatCall = (body: Record<string, unknown>, more: Partial<ChatCall> = {}): ChatCall =>
  ({ body, stream: body['stream'] === true, headers: {}, version: null, rollout: 'ro_test', responseId: 'chatcmpl-test', ...more });

function keep(deltas: readonly CaptureDelta[]): { kept: Kept[]; usage: CaptureDelta['usage'] | null } {
  const kept: Kept[] = [];
  let usage: CaptureDelta['usage'] | null = null;
  for (const delta of deltas) {
    const choice = (kept[delta.choice] ??= { promptTokenIds: null, ids: [], logprobs: [], versions: [], finishReason: null, quarantine: null });
    if (delta.promptTokenIds !== undefined) {
      assert.equal(choice.promptTokenIds, null, 'prompt ids come once');
      choice.promptTokenIds = [...delta.promptTokenIds];
    }
    choice.ids.push(...delta.tokenIds ?? []);
    choice.logprobs.push(...delta.logprobs ?? []);
    for (const _ of delta.tokenIds ?? []) choice.versions.push(delta.version ?? -1);
    choice.finishReason = delta.finishReason ?? choice.finishReason;
    choice.quarantine = delta.quarantine ?? choice.quarantine;
    usage = delta.usage ?? usage;
  }
  return { kept, usage };
}

// What a test reads of an answer; a field that is not there makes the test fail.
type WireCall = { index: number; id?: string; function: { name?: string; arguments?: string } };
type WireChoice = {
  index: number; finish_reason: string | null; logprobs?: { content: SeenChoice['logprobs'] } | null;
  message?: { content: string | null; tool_calls?: WireCall[] }; delta?: { content?: string | null; tool_calls?: WireCall[] };
};
type Wire = { choices: WireChoice[]; usage?: Record<string, number> | null };

function see(wires: readonly Wire[]): { choices: SeenChoice[]; usage: Record<string, number> | null } {
  const choices: SeenChoice[] = [];
  let usage: Record<string, number> | null = null;
  for (const wire of wires) {
    usage = wire.usage ?? usage;
    for (const { index, message, delta, finish_reason, logprobs } of wire.choices) {
      const choice = (choices[index] ??= { content: '', toolCalls: [], logprobs: [], finishReason: null });
      const said = message ?? delta;
      choice.content += said?.content ?? '';
      choice.finishReason = finish_reason ?? choice.finishReason;
      choice.logprobs.push(...logprobs?.content ?? []);
      for (const [i, call] of (said?.tool_calls ?? []).entries()) {
        const made = (choice.toolCalls[message === undefined ? call.index : i] ??= { id: '', name: '', arguments: '' });
        made.id += call.id ?? '';
        made.name += call.function.name ?? '';
        made.arguments += call.function.arguments ?? '';
      }
    }
  }
  return { choices, usage };
}

/** A reply's frames, to be read one by one. Leaving early leaves the reply. */
export async function* each(frames: Frames): AsyncGenerator<Frame, void, void> {
  for await (const together of pulled(frames)) yield* together;
}

export async function outcome(reply: BackendReply): Promise<Outcome> {
  if (reply.kind === 'json') {
    const { kept, usage: keptUsage } = keep(reply.capture);
    return { status: reply.status, ...see([reply.body as Wire]), kept, keptUsage, chunks: [], body: reply.body as Record<string, unknown> };
  }
  const chunks: Record<string, unknown>[] = [], capture: CaptureDelta[] = [];
  for await (const frame of each(reply.frames)) {
    if (frame.data !== null) chunks.push(JSON.parse(frame.data) as Record<string, unknown>);
    capture.push(...frame.capture);
  }
  const { kept, usage: keptUsage } = keep(capture);
  return { status: 200, ...see(chunks as unknown as Wire[]), kept, keptUsage, chunks, body: null };
}
