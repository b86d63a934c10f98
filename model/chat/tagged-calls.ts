/** Reads calls that stand between tags, in a text that may say other things too. */
import type { ToolCallEvent, ToolCallReader } from './tool-calls.ts';

export interface TaggedCall {
  readonly name: string;
  readonly argumentsJson: string;
  /** Characters from the opening tag to the end of the closing one. */
  readonly length: number;
}

/**
 * A call leaves when its closing tag has come: until then it may turn out to be text, and what a client has seen cannot be taken back.
 * What is no valid call is text exactly as written. Whitespace at the end of a text with calls is layout, and left out.
 *
 * @param readCall of a text that begins with the opening tag; what it decides holds for every text that begins with that one
 */
export function taggedReader(open: string, readCall: (text: string) => TaggedCall | 'incomplete' | 'malformed'): ToolCallReader {
  let buffer = '';
  let heldSpace = '';
  let calls = 0;

  const text = (piece: string, events: ToolCallEvent[]): void => {
    const said = heldSpace + piece;
    const end = said.trimEnd().length;
    if (end > 0) events.push({ type: 'text', text: said.slice(0, end) });
    heldSpace = said.slice(end);
  };

  const read = (isEnd: boolean): ToolCallEvent[] => {
    const events: ToolCallEvent[] = [];
    for (;;) {
      const tag = buffer.indexOf(open);
      const plain = tag >= 0 ? tag : buffer.length - (isEnd ? 0 : beginOf(open, buffer));
      text(buffer.slice(0, plain), events);
      buffer = buffer.slice(plain);
      if (tag < 0) return events;
      const call = readCall(buffer);
      if (call === 'incomplete' && !isEnd) return events;
      if (typeof call === 'string') {
        // The tag was only text; a real call may still follow it.
        text(open, events);
        buffer = buffer.slice(open.length);
      } else {
        events.push({ type: 'call', index: calls, name: call.name }, { type: 'arguments', index: calls, text: call.argumentsJson });
        calls += 1;
        buffer = buffer.slice(call.length);
      }
    }
  };

  return {
    push(piece) {
      buffer += piece;
      return read(false);
    },
    end() {
      const events = read(true);
      if (calls === 0 && heldSpace !== '') events.push({ type: 'text', text: heldSpace });
      heldSpace = '';
      return events;
    },
  };
}

/** How many characters at the end of the text may be the begin of a tag. */
export function beginOf(tag: string, text: string): number {
  for (let length = Math.min(tag.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(tag.slice(0, length))) return length;
  }
  return 0;
}
