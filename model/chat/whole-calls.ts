/** Reads answers that are calls from their first character to their last, or no calls at all. */
import type { SaidAndCalled, ToolCallEvent, ToolCallReader } from './tool-calls.ts';

/**
 * Text that may still become calls is held back to the end.
 * @param mayBe whether a text that goes on after this one may be calls; once false it stays false
 * @param parse the calls of a whole text, or null
 */
export function wholeReader(mayBe: (text: string) => boolean, parse: (text: string) => SaidAndCalled['toolCalls'] | null): ToolCallReader {
  let held = '';
  let isText = false;
  const release = (): ToolCallEvent[] => {
    isText = true;
    const text = held;
    held = '';
    return text === '' ? [] : [{ type: 'text', text }];
  };
  return {
    push(piece) {
      held += piece;
      return isText || !mayBe(held) ? release() : [];
    },
    end() {
      const calls = isText ? null : parse(held);
      if (calls === null) return release();
      return calls.flatMap(({ name, argumentsJson }, index): ToolCallEvent[] => [{ type: 'call', index, name }, { type: 'arguments', index, text: argumentsJson }]);
    },
  };
}
