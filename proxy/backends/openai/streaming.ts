/** A server's stream → frames: each goes on as it comes, without what only the proxy asked for. */
import { UpstreamError } from '../../errors.ts';
import type { Frame } from '../backend.ts';
import type { Asked } from './asking.ts';
import { isRecord, records, type JsonObject } from './json.ts';
import type { Recording } from './recording.ts';
import { reportedError } from './reported-error.ts';
import { isUsageChunk, saysNothing, strip, withExtras } from './stripping.ts';
import { parseJsonOrNull } from './upstream.ts';

const endsAChoice = (chunk: JsonObject): boolean => records(chunk['choices']).some((choice) => typeof choice['finish_reason'] === 'string');

function parseChunk(data: string): JsonObject {
  const chunk = parseJsonOrNull(data);
  if (!isRecord(chunk)) throw new UpstreamError(502, `The upstream server sent an event that is not a JSON object: ${data.slice(0, 200)}`, null, { code: 'upstream_invalid' });
  const error = reportedError(chunk);
  if (error !== null) throw error;
  return chunk;
}

/**
 * A chunk that ends a choice is held until the next event where usage was asked for by the proxy alone: the usage chunk disappears,
 * and what else it says goes where the server would have put it. `[DONE]` ends the frames.
 *
 * @throws UpstreamError where the server reports one in the stream, sends what is not JSON, or ends before every choice did
 */
export async function* frames(events: AsyncIterable<string>, asked: Asked, recording: Recording): AsyncGenerator<Frame> {
  let held: { readonly chunk: JsonObject; readonly raw: string } | null = null;
  try {
    for await (const data of events) {
      if (data === '[DONE]') break;
      const chunk = parseChunk(data);
      const capture = recording.read(chunk);
      if (asked.usage && isUsageChunk(chunk)) {
        if (held !== null) yield { data: JSON.stringify(withExtras(held.chunk, chunk)), capture };
        else yield { data: null, capture };
        held = null;
        continue;
      }
      if (held !== null) yield { data: held.raw, capture: [] };
      held = null;
      const visible = strip(chunk, asked);
      // An event over several lines is JSON over several lines: it goes on as one.
      const raw = visible === chunk && !data.includes('\n') ? data : JSON.stringify(visible);
      if (asked.usage && endsAChoice(chunk)) {
        held = { chunk: visible, raw };
        yield { data: null, capture };
      } else {
        yield { data: visible !== chunk && saysNothing(visible) ? null : raw, capture };
      }
    }
  } catch (error) {
    // What came before the failure was meant for the client.
    if (held !== null) yield { data: held.raw, capture: [] };
    throw error;
  }
  if (held !== null) yield { data: held.raw, capture: [] };
  if (!recording.finished) throw new UpstreamError(502, 'The upstream server ended the stream before the answer was complete.', null, { code: 'upstream_truncated' });
  yield { data: null, capture: recording.close() };
}
