/** The HTTP side of a remote server: one connection pool, one JSON request, errors as the server put them. */
import type { IncomingHttpHeaders } from 'node:http';
import { errors as undiciErrors, Pool, type Dispatcher } from 'undici';
import { ApiError, UpstreamError } from '../../errors.ts';
import { isRecord } from './json.ts';

export interface UpstreamOptions {
  /** Up to and including `/v1`. */
  readonly baseUrl: string;
  readonly apiKey: string | null;
  /** Longest silence, before the headers and within the body. */
  readonly timeoutMs: number;
}

export type UpstreamReply = Pick<Dispatcher.ResponseData, 'statusCode' | 'headers' | 'body'>;

/** Headers that belong to the client's own connection and credentials, or that this side writes itself. */
const ownHeaders = new Set([
  'accept-encoding', 'authorization', 'connection', 'content-encoding', 'content-length', 'content-type', 'cookie', 'expect', 'host',
  'keep-alive', 'proxy-authorization', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'x-api-key',
]);

const passes = (name: string): boolean => !ownHeaders.has(name) && !name.startsWith('x-fulgurite-');

/** An answer is kept in memory until it is stored: one larger than this (128 choices with all their alternatives fit) is a server gone wrong. */
const maxAnswerBytes = 256 * 1024 * 1024;

export class Upstream {
  readonly #pool: Pool;
  readonly #path: string;
  readonly #origin: string;
  readonly #apiKey: string | null;
  readonly #timeoutMs: number;

  constructor({ baseUrl, apiKey, timeoutMs }: UpstreamOptions) {
    const url = new URL(baseUrl);
    this.#origin = url.origin;
    this.#path = url.pathname.replace(/\/+$/, '');
    this.#apiKey = apiKey;
    this.#timeoutMs = timeoutMs;
    this.#pool = new Pool(url.origin, { headersTimeout: timeoutMs, bodyTimeout: timeoutMs });
  }

  get(path: string, signal: AbortSignal): Promise<UpstreamReply> {
    return this.#request(path, { method: 'GET', headers: this.#headers({}) }, signal);
  }

  post(path: string, body: unknown, headers: IncomingHttpHeaders, signal: AbortSignal): Promise<UpstreamReply> {
    const json = { ...this.#headers(headers), 'content-type': 'application/json' };
    return this.#request(path, { method: 'POST', headers: json, body: JSON.stringify(body) }, signal);
  }

  /** The bytes of a body, at most `maxAnswerBytes`; failures as `post` reports them. */
  async *bytes(reply: UpstreamReply, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    let total = 0;
    try {
      for await (const bytes of reply.body) {
        if (!(bytes instanceof Uint8Array)) continue;
        total += bytes.length;
        if (total > maxAnswerBytes) throw tooLarge();
        yield bytes;
      }
    } catch (error) {
      throw this.#translate(error, signal);
    }
  }

  async text(reply: UpstreamReply, signal: AbortSignal): Promise<string> {
    const pieces: Uint8Array[] = [];
    for await (const bytes of this.bytes(reply, signal)) pieces.push(bytes);
    return Buffer.concat(pieces).toString('utf8');
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
  }

  #headers(client: IncomingHttpHeaders): Record<string, string | string[]> {
    const headers: Record<string, string | string[]> = {};
    for (const [name, value] of Object.entries(client)) if (value !== undefined && passes(name)) headers[name] = value;
    // What the client says belongs to its connection only (RFC 9110, section 7.6.1).
    for (const name of client.connection?.toLowerCase().split(',') ?? []) delete headers[name.trim()];
    if (this.#apiKey !== null) headers['authorization'] = `Bearer ${this.#apiKey}`;
    return headers;
  }

  async #request(path: string, options: Omit<Dispatcher.RequestOptions, 'path'>, signal: AbortSignal): Promise<UpstreamReply> {
    try {
      return await this.#pool.request({ ...options, path: this.#path + path, signal });
    } catch (error) {
      throw this.#translate(error, signal);
    }
  }

  /** The caller's own abort stays what it is; everything else becomes a 502 or 504 that says which server and what happened. */
  #translate(error: unknown, signal: AbortSignal): unknown {
    if (signal.aborted) return signal.reason;
    if (error instanceof ApiError) return error;
    if (error instanceof undiciErrors.HeadersTimeoutError || error instanceof undiciErrors.BodyTimeoutError || error instanceof undiciErrors.ConnectTimeoutError) {
      return new ApiError(504, `The upstream server at ${this.#origin} was silent for ${this.#timeoutMs} ms. Raise backend.timeoutMs if it needs longer.`, { code: 'upstream_timeout', type: 'upstream_error', cause: error });
    }
    const detail = error instanceof Error ? error.message : String(error);
    return new ApiError(502, `The upstream server at ${this.#origin} cannot be reached or broke the connection (${detail}).`, { code: 'upstream_unreachable', type: 'upstream_error', cause: error });
  }
}

function tooLarge(): ApiError {
  return new ApiError(502, `The upstream server's answer is larger than ${maxAnswerBytes} bytes.`, { code: 'upstream_invalid', type: 'upstream_error' });
}

export function parseJsonOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Gateways answer in HTML; the caller says so.
    return null;
  }
}

/** An error response → the error that carries its status and body to the client. */
export function upstreamError(reply: UpstreamReply, text: string): UpstreamError {
  const body = parseJsonOrNull(text);
  const retryAfter = Number(reply.headers['retry-after']);
  return new UpstreamError(reply.statusCode, messageOf(body) ?? `The upstream server answered ${reply.statusCode}: ${text.slice(0, 200)}`, body,
    Number.isFinite(retryAfter) && reply.headers['retry-after'] !== undefined ? { retryAfter } : {});
}

/** The sentence in an error's body, in the forms that servers use. */
export function messageOf(body: unknown): string | undefined {
  if (!isRecord(body)) return undefined;
  const error = body['error'];
  if (isRecord(error) && typeof error['message'] === 'string') return error['message'];
  return typeof error === 'string' ? error : typeof body['message'] === 'string' ? body['message'] : undefined;
}
