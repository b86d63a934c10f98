/** What a model thinks before it answers, told apart from the answer: `<think>` … `</think>` at the beginning (DeepSeek-R1, Qwen3 and others). */
import { beginOf } from '../../../model/chat/tagged-calls.ts';

export interface Thought {
  readonly reasoning: string;
  readonly said: string;
}

/** Reads a text as it grows. Line breaks beside the tags are layout, and left out; the texts joined do not depend on how it is cut into pieces. */
export interface ReasoningReader {
  push(text: string): Thought;
  end(): Thought;
}

export const OPEN_TAG = '<think>';
export const CLOSE_TAG = '</think>';

/** @param isOpen the prompt ends with the opening tag */
export function reasoningReader(isOpen: boolean): ReasoningReader {
  let state: 'before' | 'thinking' | 'saying' = isOpen ? 'thinking' : 'before';
  let buffer = '';
  let hasThought = false, hasSaid = false;

  const begin = (): void => {
    if (state !== 'before') return;
    const start = buffer.trimStart();
    if (start.startsWith(OPEN_TAG)) {
      state = 'thinking';
      buffer = start.slice(OPEN_TAG.length);
    } else if (!OPEN_TAG.startsWith(start)) {
      state = 'saying';
      hasSaid = true; // without thoughts, every space is the answer's
    }
  };

  /** Text with its first line breaks taken off, if it is the first. */
  const opened = (text: string, isFirst: boolean): string => (isFirst ? text.replace(/^\s+/, '') : text);

  const read = (isEnd: boolean): Thought => {
    begin();
    if (isEnd && state === 'before') state = 'saying';
    let reasoning = '';
    if (state === 'thinking') {
      const close = buffer.indexOf(CLOSE_TAG);
      const until = close >= 0 ? close : buffer.length - (isEnd ? 0 : beginOf(CLOSE_TAG, buffer));
      const text = opened(buffer.slice(0, until), !hasThought);
      // Space at the end may be layout before the closing tag.
      const kept = close >= 0 || isEnd ? text.trimEnd() : text.slice(0, text.trimEnd().length);
      reasoning = kept;
      hasThought ||= kept !== '';
      buffer = close >= 0 ? buffer.slice(close + CLOSE_TAG.length) : isEnd ? '' : text.slice(kept.length) + buffer.slice(until);
      if (close >= 0) state = 'saying';
    }
    if (state !== 'saying') return { reasoning, said: '' };
    const said = opened(buffer, !hasSaid);
    hasSaid ||= said !== '';
    buffer = '';
    return { reasoning, said };
  };

  return {
    push(text) {
      buffer += text;
      return read(false);
    },
    end: () => read(true),
  };
}
