/** Reading a request body, and only as much of it as is allowed. */
import type { IncomingMessage } from 'node:http';
import { ApiError } from './errors.ts';

/**
 * @throws ApiError 413 as soon as the body is known to be too large: by its declared length before a byte of it is read, else at the
 * first byte over. ApiError 400 when the client goes away in the middle.
 */
export function readBody(incoming: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const declared = Number(incoming.headers['content-length'] ?? 0);
  if (declared > maxBytes) return Promise.reject(tooLarge(maxBytes));
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const settle = (finish: () => void) => {
      incoming.off('data', onData).off('end', onEnd).off('error', onBroken).off('close', onBroken);
      finish();
    };
    const onData = (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > maxBytes) settle(() => { incoming.pause(); reject(tooLarge(maxBytes)); });
      else chunks.push(chunk);
    };
    const onEnd = () => settle(() => resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, bytes)));
    const onBroken = () => settle(() => reject(new ApiError(400, 'The connection closed before the whole request body arrived.', { code: 'incomplete_body' })));
    incoming.on('data', onData).on('end', onEnd).on('error', onBroken).on('close', onBroken);
  });
}

/** @throws ApiError 400 `invalid_json`. */
export function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new ApiError(400, `The request body is not JSON: ${detail}. Send a JSON object with content-type: application/json.`, { code: 'invalid_json', cause: error });
  }
}

function tooLarge(maxBytes: number): ApiError {
  return new ApiError(413, `The request body is larger than ${maxBytes} bytes. Send less, or raise server.maxBodyBytes.`, { code: 'request_too_large' });
}
