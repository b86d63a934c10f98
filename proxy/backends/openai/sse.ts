/** Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation). */
import { parseJsonOrNull } from './upstream.ts';

/**
 * Reads the `data` of events from bytes in any chunking: split characters, CR, LF or CRLF, data over several lines, comments, a
 * byte-order mark. Unlike a browser it also gives an event that the stream's end cuts off before its blank line, as servers that
 * forget that line mean it.
 */
export class SseReader {
  readonly #decoder = new TextDecoder();
  /** The line that is still being received. */
  #line = '';
  #endedWithCr = false;
  #data: string | null = null;

  /** @returns the data of the events that these bytes complete. */
  push(bytes: Uint8Array): string[] {
    return this.#read(this.#decoder.decode(bytes, { stream: true }));
  }

  end(): string[] {
    return this.#read(`${this.#decoder.decode()}\n\n`);
  }

  #read(text: string): string[] {
    if (text === '') return [];
    // A CR has ended the line already; the LF after it belongs to the same end.
    const rest = this.#endedWithCr && text.startsWith('\n') ? text.slice(1) : text;
    this.#endedWithCr = text.endsWith('\r');
    const lines = rest.includes('\r') ? rest.split(/\r\n|\n|\r/) : rest.split('\n');
    lines[0] = this.#line + (lines[0] ?? '');
    this.#line = lines.pop() ?? '';
    const events: string[] = [];
    for (const line of lines) this.#readLine(line, events);
    return events;
  }

  #readLine(line: string, events: string[]): void {
    if (line === '') {
      if (this.#data !== null) events.push(this.#data);
      this.#data = null;
      return;
    }
    const colon = line.indexOf(':');
    if ((colon < 0 ? line : line.slice(0, colon)) !== 'data') return;
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    this.#data = this.#data === null ? value : `${this.#data}\n${value}`;
  }
}

/** The events of a response body, as they come. What its end cut off in the middle of its JSON says nothing. */
export async function* sseData(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const reader = new SseReader();
  for await (const bytes of body) yield* reader.push(bytes);
  for (const data of reader.end()) if (data === '[DONE]' || parseJsonOrNull(data) !== null) yield data;
}
