/** A server's reply → what the client may see of it, and what capture keeps. */
import { ApiError } from '../../errors.ts';
import type { BackendReply } from '../backend.ts';
import type { Asked } from './asking.ts';
import { isRecord } from './json.ts';
import type { Recording } from './recording.ts';
import { reportedError } from './reported-error.ts';
import { framesOf } from './streaming.ts';
import { strip } from './stripping.ts';
import { parseJsonOrNull, type UpstreamReply } from './upstream.ts';

export interface Answered {
  readonly reply: UpstreamReply;
  readonly asked: Asked;
  readonly recording: Recording;
}

/** @throws ApiError 502 where a body is not a chat completion, UpstreamError 502 where it reports a failure; a stream's failures come with its frames */
export async function answer({ reply, asked, recording }: Answered): Promise<BackendReply> {
  if (String(reply.headers['content-type']).includes('text/event-stream')) {
    return { kind: 'stream', frames: framesOf(reply, asked, recording) };
  }
  const text = await reply.text();
  const body = parseJsonOrNull(text);
  if (!isRecord(body)) throw new ApiError(502, `The upstream server answered ${reply.statusCode} with a body that is not a JSON object: ${text.slice(0, 200)}`, { code: 'upstream_invalid', type: 'upstream_error' });
  const error = reportedError(body);
  if (error !== null) throw error;
  if (!Array.isArray(body['choices'])) throw new ApiError(502, `The upstream server answered ${reply.statusCode} with JSON that is no chat completion: ${text.slice(0, 200)}`, { code: 'upstream_invalid', type: 'upstream_error' });
  const capture = [...recording.read(body), ...recording.close()];
  return { kind: 'json', status: reply.statusCode, body: strip(body, asked), capture };
}
