/**
 * Exact continuation: a history with an answer that this engine sampled becomes the ids that it was sampled with, and only what follows the answer is encoded
 * from text. Rendered and encoded anew, the answer could come out as other ids (a word cut otherwise, a call's JSON with other spaces), and the next
 * call would not begin with what the model has said.
 */
import { ChatTemplateError, type ChatMessage, type ChatTemplate, type RenderOptions } from '../../../model/chat/template.ts';
import type { Tokenizer } from '../../../model/tokenizer.ts';

/** A beginning of a conversation whose ids are known. */
export interface SampledHistory {
  /** Its messages, the last of which was sampled. */
  readonly turns: number;
  /** The prompt of that answer, and the answer; the token that ended it, if one did, is the last. */
  readonly tokenIds: Int32Array;
}

export interface PromptText {
  readonly chatTemplate: ChatTemplate;
  readonly tokenizer: Tokenizer;
  /** Tokens that end an answer. */
  readonly stopTokenIds: readonly number[];
}

/** Stands for the answer in a second rendering, to see where what follows it begins. */
const MARK = 'SAMPLEDxANSWERxMARK';

/**
 * @param rendered the prompt as the template renders it
 * @returns null where the template does not show where the answer ends, or leaves out some of what was sampled (thoughts): then the text is what counts
 */
export function continuation({ chatTemplate, tokenizer, stopTokenIds }: PromptText, prompt: RenderOptions, rendered: string, { turns, tokenIds }: SampledHistory): Int32Array | null {
  const answers = prompt.messages.slice(0, turns).filter(({ role }) => role === 'assistant');
  const texts = answers.flatMap(({ content, reasoning_content: thought }) => [content, thought]).filter((text) => typeof text === 'string');
  const marked = texts.every((text) => rendered.includes(text.trim())) ? renderMarked(chatTemplate, prompt, turns - 1) : null;
  if (marked === null) return null;
  const [before, behind, ...more] = marked.split(MARK);
  if (before === undefined || behind === undefined || more.length > 0) return null;
  const ends = stopTokenIds.map((id) => behind.indexOf(tokenizer.decode([id]))).filter((at) => at >= 0);
  const rest = behind.slice(Math.min(...ends, behind.length));
  if (rest === '' || !rendered.endsWith(rest)) return null;
  // Its first token is the one that ends an answer, so what comes before it makes no difference to how it is encoded.
  const ids = tokenizer.encode(rest);
  const isEnd = (id: number | undefined): boolean => id !== undefined && stopTokenIds.includes(id);
  if (!isEnd(ids[0])) return null;
  return Int32Array.from([...tokenIds, ...ids.subarray(isEnd(tokenIds.at(-1)) ? 1 : 0)]);
}

/** The prompt with a mark instead of one answer's text, or of its last call's name. Null: the template does not take it. */
function renderMarked(chatTemplate: ChatTemplate, prompt: RenderOptions, at: number): string | null {
  const answer = prompt.messages[at];
  if (!answer) return null;
  try {
    return chatTemplate.render({ ...prompt, messages: prompt.messages.with(at, markedAnswer(answer)) });
  } catch (error) {
    if (error instanceof ChatTemplateError) return null;
    throw error;
  }
}

function markedAnswer({ tool_calls: calls, ...message }: ChatMessage): ChatMessage {
  if (!Array.isArray(calls) || calls.length === 0) return { ...message, content: MARK };
  const last = calls.at(-1) as { readonly function: object }; // as template-messages.ts makes them
  return { ...message, tool_calls: calls.with(calls.length - 1, { ...last, function: { ...last.function, name: MARK } }) };
}
