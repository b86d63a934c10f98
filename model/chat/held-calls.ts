/** Reads calls that a grammar holds: what begins as one is one, so its arguments leave as they are written. */
import { beginOf } from './tagged-calls.ts';
import type { ToolCallEvent, ToolCallReader } from './tool-calls.ts';

/** A function's call, as the grammar has it: JSON arguments between two texts. */
export interface HeldCall {
  readonly name: string;
  readonly begin: string;
  readonly end: string;
}

/**
 * Whitespace beside calls is kept or left out as `taggedReader` does.
 *
 * @param trigger what every call begins with
 * @param isLayout whether a text beside a call only separates it from the next
 */
export function heldReader(calls: readonly HeldCall[], trigger: string, isLayout: (text: string) => boolean): ToolCallReader {
  let buffer = '';
  let heldText = '';
  let count = 0;
  let current: { readonly call: HeldCall; readonly json: JsonEnd } | null = null;
  /** The rest of a closing text that is still to come. */
  let closing = '';

  const text = (piece: string): ToolCallEvent[] => {
    const said = heldText + piece;
    const end = isLayout(said) ? 0 : said.trimEnd().length;
    heldText = said.slice(end);
    return end === 0 ? [] : [{ type: 'text', text: said.slice(0, end) }];
  };

  const read = (isEnd: boolean): ToolCallEvent[] => {
    const events: ToolCallEvent[] = [];
    for (;;) {
      if (current !== null) {
        const end = current.json.push(buffer);
        const piece = buffer.slice(0, end ?? buffer.length);
        if (piece !== '') events.push({ type: 'arguments', index: count - 1, text: piece });
        buffer = buffer.slice(piece.length);
        if (end === null) return events;
        closing = current.call.end;
        current = null;
      }
      const closed = Math.min(closing.length, buffer.length);
      buffer = buffer.slice(closed);
      closing = closing.slice(closed);
      if (closing !== '') return events;
      const start = buffer.indexOf(trigger);
      const plain = start >= 0 ? start : buffer.length - (isEnd ? 0 : beginOf(trigger, buffer));
      events.push(...text(buffer.slice(0, plain)));
      buffer = buffer.slice(plain);
      if (start < 0) return events;
      const call = calls.find(({ begin }) => buffer.startsWith(begin));
      if (call === undefined) {
        if (isEnd) events.push(...text(buffer)); // cut off before it said which
        return events;
      }
      if (heldText.trim() !== '') heldText = '';
      events.push({ type: 'call', index: count++, name: call.name });
      buffer = buffer.slice(call.begin.length);
      current = { call, json: new JsonEnd() };
    }
  };

  return {
    push(piece) {
      buffer += piece;
      return read(false);
    },
    end() {
      const events = read(true);
      if (count === 0 && heldText !== '') events.push({ type: 'text', text: heldText });
      heldText = '';
      return events;
    },
  };
}

/** Finds the end of an object that comes in pieces. */
class JsonEnd {
  #depth = 0;
  #inString = false;
  #isEscaped = false;

  /** Index after the object's last character in this piece, or null if it goes on. */
  push(piece: string): number | null {
    for (let at = 0; at < piece.length; at++) {
      const character = piece[at];
      if (this.#inString) {
        if (this.#isEscaped) this.#isEscaped = false;
        else if (character === '\\') this.#isEscaped = true;
        else if (character === '"') this.#inString = false;
      } else if (character === '"') this.#inString = true;
      else if (character === '{' || character === '[') this.#depth++;
      else if ((character === '}' || character === ']') && --this.#depth === 0) return at + 1;
    }
    return null;
  }
}
