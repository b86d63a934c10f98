/**
 * Tool calls as Hermes, Qwen and other ChatML models write them (NousResearch Hermes function calling):
 * `<tool_call>{"name": "f", "arguments": {…}}</tool_call>`, whitespace allowed around the object.
 */
import { endOfNested, memberSpans, skipSpace } from './json-span.ts';
import { readToolCalls, type SaidAndCalled, type ToolCallEvent, type ToolCallReader } from './tool-calls.ts';

const OPEN = '<tool_call>';
const CLOSE = '</tool_call>';

/**
 * A call leaves when its closing tag has come: until then it may turn out to be text, and what a client has seen cannot be taken back.
 * What is no valid call is text exactly as written. Whitespace at the end of a text with calls is layout, and left out.
 */
export function hermesReader(): ToolCallReader {
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
      const tag = buffer.indexOf(OPEN);
      const plain = tag >= 0 ? tag : buffer.length - (isEnd ? 0 : beginOfTag(buffer));
      text(buffer.slice(0, plain), events);
      buffer = buffer.slice(plain);
      if (tag < 0) return events;
      const call = readCall(buffer);
      if (call === 'incomplete' && !isEnd) return events;
      if (typeof call === 'string') {
        // The tag was only text; a real call may still follow it.
        text(OPEN, events);
        buffer = buffer.slice(OPEN.length);
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

export function parseHermes(text: string): SaidAndCalled {
  return readToolCalls(hermesReader(), text);
}

interface Call {
  readonly name: string;
  readonly argumentsJson: string;
  /** Characters from the opening tag to the end of the closing one. */
  readonly length: number;
}

/** `text` begins with the opening tag. What is decided about a text holds for every text that begins with it. */
function readCall(text: string): Call | 'incomplete' | 'malformed' {
  const start = skipSpace(text, OPEN.length);
  if (start === text.length) return 'incomplete';
  if (text[start] !== '{') return 'malformed';
  const end = endOfNested(text, start);
  if (typeof end === 'string') return end;
  const closing = skipSpace(text, end);
  const rest = text.slice(closing, closing + CLOSE.length);
  if (!CLOSE.startsWith(rest)) return 'malformed';
  const call = parseCall(text.slice(start, end));
  if (call === null) return 'malformed';
  return rest === CLOSE ? { ...call, length: closing + CLOSE.length } : 'incomplete';
}

function parseCall(json: string): Omit<Call, 'length'> | null {
  const parsed = parseJson(json);
  if (typeof parsed !== 'object' || parsed === null || !('name' in parsed) || typeof parsed.name !== 'string') return null;
  const argumentsJson = memberSpans(json).get('arguments');
  return argumentsJson?.startsWith('{') ? { name: parsed.name, argumentsJson } : null;
}

function parseJson(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return null; // not a call, then
  }
}

/** How many characters at the end may be the begin of an opening tag. */
function beginOfTag(text: string): number {
  for (let length = Math.min(OPEN.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(OPEN.slice(0, length))) return length;
  }
  return 0;
}
