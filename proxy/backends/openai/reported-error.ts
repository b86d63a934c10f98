/** Errors that come as if they were answers: in a stream that has begun, or with status 200. */
import { UpstreamError } from '../../errors.ts';
import { isRecord, type JsonObject } from './json.ts';

/**
 * The failure that a body or chunk reports, as a 502; null where it reports none. OpenAI's shape goes on to the client as it came; others
 * (a string, vLLM's older `object: error`) would not be taken for errors by its SDK, and are put into that shape.
 */
export function reportedError(answer: JsonObject): UpstreamError | null {
  const error = answer['error'] ?? (answer['object'] === 'error' ? answer['message'] : null) ?? null;
  if (error === null) return null;
  const message = isRecord(error) ? error['message'] : error;
  const body = isRecord(error) && typeof error['message'] === 'string' ? answer : null;
  return new UpstreamError(502, typeof message === 'string' ? message : 'The upstream server reported an error.', body, { code: 'upstream_failed' });
}
