/** A server's stream → frames, in one pass over each piece that the network gives: what came together goes on together, without what only the proxy asked for. */
import { UpstreamError } from '../../errors.ts';
import type { Frame, Frames } from '../backend.ts';
import type { Asked } from './asking.ts';
import { isRecord, records, type JsonObject } from './json.ts';
import type { Recording } from './recording.ts';
import { reportedError } from './reported-error.ts';
import { SseReader } from './sse.ts';
import { isUsageChunk, saysNothing, strip, withExtras } from './stripping.ts';
import { parseJsonOrNull, type UpstreamReply } from './upstream.ts';

/**
 * The frames of a reply. `[DONE]` ends them.
 *
 * Fails with an UpstreamError where the server reports one in the stream, sends what is not JSON, or ends before every choice did.
 */
export function framesOf(reply: UpstreamReply, asked: Asked, recording: Recording): Frames {
  return async (take) => {
    const writer = new FrameWriter(asked, recording);
    const reader = new SseReader();
    const give = (events: readonly string[]): Promise<void> | undefined => {
      const { frames, failure, isDone } = writer.write(events);
      const held = frames.length === 0 ? undefined : take(frames);
      if (isDone) reply.leave();
      if (failure === null) return held;
      if (held === undefined) throw failure;
      return held.then(() => { throw failure; });
    };
    try {
      await reply.read((bytes) => give(reader.push(bytes)));
      // What the end cut off in the middle of its JSON says nothing.
      await give(reader.end().filter((data) => data === '[DONE]' || parseJsonOrNull(data) !== null));
    } finally {
      // Also before a failure: it was meant for the client.
      const last = writer.end();
      if (last.length > 0) await take(last);
    }
    if (!recording.finished) throw new UpstreamError(502, 'The upstream server ended the stream before the answer was complete.', null, { code: 'upstream_truncated' });
    await take([{ data: null, capture: recording.close() }]);
  };
}

/** What a piece of the stream gives: frames, and then perhaps the stream's end or its failure. */
interface Written {
  readonly frames: readonly Frame[];
  readonly isDone: boolean;
  readonly failure: unknown;
}

/**
 * A chunk that ends a choice is held until the next event where usage was asked for by the proxy alone: the usage chunk disappears,
 * and what else it says goes where the server would have put it.
 */
class FrameWriter {
  readonly #asked: Asked;
  readonly #recording: Recording;
  #held: { readonly chunk: JsonObject; readonly raw: string } | null = null;
  #isDone = false;

  constructor(asked: Asked, recording: Recording) {
    this.#asked = asked;
    this.#recording = recording;
  }

  /** @param events their `data`; what comes after `[DONE]` is not looked at */
  write(events: readonly string[]): Written {
    const frames: Frame[] = [];
    let failure: unknown = null;
    try {
      for (const data of events) {
        this.#isDone ||= data === '[DONE]';
        if (this.#isDone) break;
        this.#writeEvent(data, frames);
      }
    } catch (error) {
      failure = error;
    }
    return { frames, isDone: this.#isDone, failure };
  }

  /** What is still held. */
  end(): readonly Frame[] {
    const held = this.#release();
    return held === null ? [] : [{ data: held.raw, capture: [] }];
  }

  #writeEvent(data: string, frames: Frame[]): void {
    const chunk = parseChunk(data);
    const capture = this.#recording.read(chunk);
    const held = this.#release();
    if (this.#asked.usage && isUsageChunk(chunk)) {
      frames.push({ data: held === null ? null : JSON.stringify(withExtras(held.chunk, chunk)), capture });
      return;
    }
    if (held !== null) frames.push({ data: held.raw, capture: [] });
    const visible = strip(chunk, this.#asked);
    // An event over several lines is JSON over several lines: it goes on as one.
    const raw = visible === chunk && !data.includes('\n') ? data : JSON.stringify(visible);
    if (this.#asked.usage && endsAChoice(chunk)) {
      this.#held = { chunk: visible, raw };
      frames.push({ data: null, capture });
    } else {
      frames.push({ data: visible !== chunk && saysNothing(visible) ? null : raw, capture });
    }
  }

  #release() {
    const held = this.#held;
    this.#held = null;
    return held;
  }
}

const endsAChoice = (chunk: JsonObject): boolean => records(chunk['choices']).some((choice) => typeof choice['finish_reason'] === 'string');

function parseChunk(data: string): JsonObject {
  const chunk = parseJsonOrNull(data);
  if (!isRecord(chunk)) throw new UpstreamError(502, `The upstream server sent an event that is not a JSON object: ${data.slice(0, 200)}`, null, { code: 'upstream_invalid' });
  const error = reportedError(chunk);
  if (error !== null) throw error;
  return chunk;
}
