/** Where JSON values begin and end inside a text that may still be growing. */

/** Index after the value's last character; `incomplete` while the text ends inside it, `malformed` once it cannot become JSON. */
export type SpanEnd = number | 'incomplete' | 'malformed';

/** The end of the object or array that begins at `start`, by brackets and strings alone: what is inside may still not be JSON. */
export function endOfNested(text: string, start: number): SpanEnd {
  const closers: string[] = [];
  for (let at = start; at < text.length; at++) {
    const character = text[at]!;
    if (character === '"') {
      const end = endOfString(text, at);
      if (typeof end !== 'number') return end;
      at = end - 1;
    } else if (character === '{' || character === '[') {
      closers.push(character === '{' ? '}' : ']');
    } else if (character === '}' || character === ']') {
      if (closers.pop() !== character) return 'malformed';
      if (closers.length === 0) return at + 1;
    }
  }
  return 'incomplete';
}

function endOfString(text: string, start: number): SpanEnd {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '"') return at + 1;
    else if (text[at]! < ' ') return 'malformed';
  }
  return 'incomplete';
}

/** The text of each member's value, as written. @param json a valid JSON object; of repeated keys the last counts, as in `JSON.parse` */
export function memberSpans(json: string): Map<string, string> {
  const spans = new Map<string, string>();
  let at = skipSpace(json, 1);
  while (json[at] === '"') {
    const keyEnd = endOfString(json, at) as number; // valid JSON
    const start = skipSpace(json, skipSpace(json, keyEnd) + 1);
    const end = endOfValue(json, start);
    spans.set(JSON.parse(json.slice(at, keyEnd)) as string, json.slice(start, end));
    at = skipSpace(json, skipSpace(json, end) + 1);
  }
  return spans;
}

function endOfValue(json: string, start: number): number {
  if (json[start] === '"') return endOfString(json, start) as number; // valid JSON
  if (json[start] === '{' || json[start] === '[') return endOfNested(json, start) as number; // valid JSON
  return start + json.slice(start).search(/[\s,}]/);
}

export function skipSpace(text: string, at: number): number {
  while (at < text.length && /\s/.test(text[at]!)) at++;
  return at;
}
