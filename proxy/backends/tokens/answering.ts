/** Pieces → the reply: a stream of chunks, or one completion. */
import type { ChatRequest } from '../../dialects/chat.ts';
import { chunk, completion, usageChunk, type Delta, type LogprobEntry, type ReplyHeader } from '../../dialects/chat-reply.ts';
import { CutOff, type BackendReply, type CaptureDelta, type Frame } from '../backend.ts';
import type { Piece } from './generation.ts';

interface Told {
  readonly header: ReplyHeader;
  readonly request: ChatRequest;
  readonly promptTokens: number;
}

const tokenCount = ({ capture }: Piece): number => capture.tokenIds?.length ?? 0;

/** Each piece leaves as it comes; one that says nothing to the client is kept only. The role comes before a choice's first words. */
export async function* streamed(pieces: AsyncIterable<Piece>, { header, request, promptTokens }: Told): AsyncGenerator<Frame> {
  const begun = new Set<number>();
  let completionTokens = 0, version = 0;
  for await (const piece of pieces) {
    completionTokens += tokenCount(piece);
    version = piece.version;
    const index = piece.choice;
    const frame = (delta: Delta, capture: readonly CaptureDelta[], more: { logprobs?: LogprobEntry[] | null; finishReason?: Piece['finishReason'] } = {}): Frame =>
      ({ data: JSON.stringify(chunk(header, version, { index, delta, ...more }, request.includeUsage)), capture });

    if (!begun.has(index)) {
      begun.add(index);
      yield frame({ role: 'assistant', content: '' }, []);
    }
    const delta: Delta = {
      ...(piece.reasoning === '' ? {} : { reasoning_content: piece.reasoning }),
      ...(piece.content === '' ? {} : { content: piece.content }),
      ...(piece.toolCalls.length === 0 ? {} : { tool_calls: piece.toolCalls }),
    };
    const logprobs = piece.logprob === null ? null : [piece.logprob];
    const saysSomething = Object.keys(delta).length > 0 || logprobs !== null;
    yield saysSomething ? frame(delta, [piece.capture], { logprobs }) : { data: null, capture: [piece.capture] };
    if (piece.finishReason !== null) yield frame({}, [], { finishReason: piece.finishReason });
  }
  const usage = { promptTokens, completionTokens };
  yield {
    data: request.includeUsage ? JSON.stringify(usageChunk(header, version, usage)) : null,
    capture: [{ choice: 0, usage }],
  };
}

interface Growing {
  content: string;
  reasoning: string;
  readonly toolCalls: { id: string; name: string; arguments: string }[];
  readonly logprobs: LogprobEntry[];
  finishReason: NonNullable<Piece['finishReason']>;
}

export const newChoice = (): Growing => ({ content: '', reasoning: '', toolCalls: [], logprobs: [], finishReason: 'stop' });

export function grow(choice: Growing, { content, reasoning, toolCalls, logprob, finishReason }: Piece): void {
  choice.content += content;
  choice.reasoning += reasoning;
  for (const { index, id = '', function: { name = '', arguments: text } } of toolCalls) {
    const call = (choice.toolCalls[index] ??= { id, name, arguments: '' });
    call.arguments += text;
  }
  if (logprob !== null) choice.logprobs.push(logprob);
  choice.finishReason = finishReason ?? choice.finishReason;
}

/** The whole answer, once every choice has ended. @throws CutOff where that does not come */
export async function whole(pieces: AsyncIterable<Piece>, { header, request, promptTokens }: Told): Promise<BackendReply> {
  const choices = Array.from({ length: request.n }, newChoice);
  const capture: CaptureDelta[] = [];
  let completionTokens = 0, version = 0;
  try {
    for await (const piece of pieces) {
      const choice = choices[piece.choice];
      if (choice !== undefined) grow(choice, piece);
      completionTokens += tokenCount(piece);
      version = piece.version;
      capture.push(piece.capture);
    }
  } catch (error) {
    throw capture.length === 0 ? error : new CutOff(capture, error);
  }
  const usage = { promptTokens, completionTokens };
  capture.push({ choice: 0, usage });
  const replies = choices.map(({ logprobs, finishReason, ...message }, index) =>
    ({ index, message, logprobs: request.logprobs ? logprobs : null, finishReason }));
  return { kind: 'json', status: 200, body: completion(header, version, replies, usage), capture };
}
