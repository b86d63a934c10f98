/** A server that takes and gives token ids, over HTTP with JSON. */
import { UpstreamError } from '../../errors.ts';
import { pulled } from '../../pulled.ts';
import { isRecord, type JsonObject } from '../openai/json.ts';
import { sseData } from '../openai/sse.ts';
import { parseJsonOrNull, Upstream, upstreamError, type UpstreamOptions, type UpstreamReply } from '../openai/upstream.ts';

/** Errors of all methods: UpstreamError with the server's own status and body, ApiError 502 or 504 where it cannot be reached, or the signal's reason. */
export class TokenServer {
  readonly baseUrl: string;
  readonly #upstream: Upstream;

  /** @param options `baseUrl` is the root of the paths below */
  constructor(options: UpstreamOptions) {
    this.baseUrl = options.baseUrl;
    this.#upstream = new Upstream(options);
  }

  async get(path: string, signal: AbortSignal): Promise<unknown> {
    return this.#json(await this.#upstream.get(path, signal));
  }

  async post(path: string, body: unknown, signal: AbortSignal): Promise<unknown> {
    return this.#json(await this.#upstream.post(path, body, {}, signal));
  }

  /** The events of a stream, without a closing `[DONE]`. Leaving early closes the connection, by which the server ends the generation. */
  async *events(path: string, body: unknown, signal: AbortSignal): AsyncGenerator<JsonObject> {
    const reply = await this.#upstream.post(path, body, {}, signal);
    await this.#requireSuccess(reply);
    for await (const data of sseData(pulled<Uint8Array>((take) => reply.read(take)))) {
      if (data === '[DONE]') return;
      const event = parseJsonOrNull(data);
      if (!isRecord(event)) throw new UpstreamError(502, `The server at ${this.baseUrl} sent an event that is not a JSON object: ${data.slice(0, 200)}`, null, { code: 'upstream_invalid' });
      yield event;
    }
  }

  /** Whether GET /health answers within so many milliseconds. Does not fail. */
  async health(timeoutMs: number): Promise<{ readonly ok: boolean; readonly detail: string }> {
    try {
      await this.get('/health', AbortSignal.timeout(timeoutMs));
      return { ok: true, detail: `${this.baseUrl} answers` };
    } catch (error) {
      return { ok: false, detail: error instanceof Error ? error.message : String(error) };
    }
  }

  close(): Promise<void> {
    return this.#upstream.close();
  }

  async #json(reply: UpstreamReply): Promise<unknown> {
    await this.#requireSuccess(reply);
    return parseJsonOrNull(await reply.text());
  }

  async #requireSuccess(reply: UpstreamReply): Promise<void> {
    if (reply.statusCode >= 400) throw upstreamError(reply, await reply.text());
  }
}
