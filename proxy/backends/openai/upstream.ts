/** The HTTP side of a remote server: one connection pool, JSON requests, errors as the server put them. */
import type { IncomingHttpHeaders } from 'node:http';
import { errors as undiciErrors, Pool, type Dispatcher } from 'undici';
import { ApiError, UpstreamError } from '../../errors.ts';
import { Exchange } from './exchange.ts';
import { isRecord } from './json.ts';

export interface UpstreamOptions {
  /** Up to and including `/v1`. */
  readonly baseUrl: string;
  readonly apiKey: string | null;
  /** Longest silence, before the headers and within the body. */
  readonly timeoutMs: number;
}

/** Once its status and headers are here. */
export type UpstreamReply = Pick<Exchange, 'statusCode' | 'headers' | 'read' | 'leave' | 'text'>;

/** Headers that belong to the client's own connection and credentials, or that this side writes itself. */
const ownHeaders = new Set([
  'accept-encoding', 'authorization', 'connection', 'content-encoding', 'content-length', 'content-type', 'cookie', 'expect', 'host',
  'keep-alive', 'proxy-authorization', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'x-api-key',
]);

const passes = (name: string): boolean => !ownHeaders.has(name) && !name.startsWith('x-fulgurite-');

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

  async #request(path: string, options: Omit<Dispatcher.DispatchOptions, 'path'>, signal: AbortSignal): Promise<UpstreamReply> {
    signal.throwIfAborted();
    const exchange = new Exchange(signal, this.#translate);
    this.#pool.dispatch({ ...options, path: this.#path + path }, exchange);
    await exchange.started;
    return exchange;
  }

  /** What fails between the two becomes a 502 or 504 that says which server and what happened. */
  readonly #translate = (error: unknown): ApiError => {
    if (error instanceof undiciErrors.HeadersTimeoutError || error instanceof undiciErrors.BodyTimeoutError || error instanceof undiciErrors.ConnectTimeoutError) {
      return new ApiError(504, `The upstream server at ${this.#origin} was silent for ${this.#timeoutMs} ms. Raise backend.timeoutMs if it needs longer.`, { code: 'upstream_timeout', type: 'upstream_error', cause: error });
    }
    const detail = error instanceof Error ? error.message : String(error);
    return new ApiError(502, `The upstream server at ${this.#origin} cannot be reached or broke the connection (${detail}).`, { code: 'upstream_unreachable', type: 'upstream_error', cause: error });
  };
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
