/** Reading a request body, and only as much of it as is allowed. */
import type { IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import { brotliDecompress, unzip, zstdDecompress } from 'node:zlib';
import { ApiError } from './errors.ts';

type Decode = (bytes: Buffer, options: { readonly maxOutputLength: number }) => Promise<Buffer>;

/** By `content-encoding`. Off the main thread, and no further than the limit: a small body can stand for gigabytes. */
const decoders: Readonly<Record<string, Decode>> = {
  gzip: promisify<Buffer, object, Buffer>(unzip), deflate: promisify<Buffer, object, Buffer>(unzip),
  br: promisify<Buffer, object, Buffer>(brotliDecompress), zstd: promisify<Buffer, object, Buffer>(zstdDecompress),
};

/**
 * The body, decoded where it is compressed; `maxBytes` holds before and after.
 * @throws ApiError 413 as soon as the body is known to be too large: by its declared length before a byte of it is read, else at the
 * first byte over. ApiError 400 when the client goes away in the middle, or the encoding is broken; 415 for an encoding that is not known. The signal's reason when it aborts.
 */
export async function readBody(incoming: IncomingMessage, maxBytes: number, signal?: AbortSignal): Promise<Buffer> {
  const encoding = incoming.headers['content-encoding']?.trim().toLowerCase() ?? 'identity';
  if (encoding === 'identity') return receive(incoming, maxBytes, signal);
  const decode = Object.hasOwn(decoders, encoding) ? decoders[encoding] : undefined;
  if (decode === undefined) throw new ApiError(415, `The request body has content-encoding ${encoding}. Send it plain, or as one of ${Object.keys(decoders).join(', ')}.`, { code: 'unsupported_encoding' });
  const bytes = await receive(incoming, maxBytes, signal);
  try {
    return await decode(bytes, { maxOutputLength: maxBytes });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(maxBytes);
    throw new ApiError(400, `The request body is not ${encoding}, as its content-encoding says.`, { code: 'invalid_encoding', cause: error });
  }
}

function receive(incoming: IncomingMessage, maxBytes: number, signal?: AbortSignal): Promise<Buffer> {
  const declared = Number(incoming.headers['content-length'] ?? 0);
  if (declared > maxBytes) return Promise.reject(tooLarge(maxBytes));
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const settle = (finish: () => void) => {
      incoming.off('data', onData).off('end', onEnd).off('error', onBroken).off('close', onBroken);
      signal?.removeEventListener('abort', onAbort);
      finish();
    };
    const onData = (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > maxBytes) settle(() => { incoming.pause(); reject(tooLarge(maxBytes)); });
      else chunks.push(chunk);
    };
    const onEnd = () => settle(() => resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, bytes)));
    const onBroken = () => settle(() => reject(new ApiError(400, 'The connection closed before the whole request body arrived.', { code: 'incomplete_body' })));
    const onAbort = () => settle(() => { incoming.pause(); reject(signal?.reason as Error); }); // what our signals abort with
    signal?.addEventListener('abort', onAbort, { once: true });
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
