/** Puts each choice together again from its pieces, as its client does. */
import type { Turn } from '../../dialects/chat-messages.ts';
import type { FinishReason } from '../../dialects/chat-reply.ts';
import { grow, newChoice } from './answering.ts';
import type { Piece } from './generation.ts';

export interface WholeChoice {
  readonly answer: Turn & { readonly role: 'assistant' };
  readonly tokenIds: readonly number[];
  readonly finishReason: FinishReason;
}

/** Passes pieces on; a choice is noted before its last piece leaves, so that the client's next call finds it. */
export async function* remembered(pieces: AsyncIterable<Piece>, note: (choice: WholeChoice) => void): AsyncGenerator<Piece, void, void> {
  const choices = new Map<number, { readonly grown: ReturnType<typeof newChoice>; readonly tokenIds: number[] }>();
  for await (const piece of pieces) {
    const choice = choices.get(piece.choice) ?? { grown: newChoice(), tokenIds: [] };
    choices.set(piece.choice, choice);
    grow(choice.grown, piece);
    choice.tokenIds.push(...piece.capture.tokenIds ?? []);
    if (piece.finishReason !== null) {
      const { content, reasoning, toolCalls } = choice.grown;
      note({ answer: { role: 'assistant', content, toolCalls, ...(reasoning === '' ? {} : { reasoning }) }, tokenIds: choice.tokenIds, finishReason: piece.finishReason });
    }
    yield piece;
  }
}
