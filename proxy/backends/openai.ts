/**
 * Any OpenAI-compatible server. Requests pass as the client wrote them, plus what capture needs (token ids, log-probs, usage);
 * answers pass as the server wrote them, minus that. A server that gives no ids is served and recorded as `inexact`.
 */
import type { OpenAIBackendConfig } from '../../config/schema.ts';
import { ApiError } from '../errors.ts';
import type { BackendReply, Capabilities, ChatCall, PolicyBackend } from './backend.ts';
import { answer } from './openai/answering.ts';
import { ask, refusedFields, type Askable, type Asking } from './openai/asking.ts';
import { isRecord, records, type JsonObject } from './openai/json.ts';
import { isExactAnswer, logprobsMode, probeBody, probeTemperature, type LogprobsMode } from './openai/probe.ts';
import { Recording } from './openai/recording.ts';
import { parseJsonOrNull, Upstream, upstreamError, type UpstreamReply } from './openai/upstream.ts';

const probeTimeoutMs = 5000;
const healthTimeoutMs = 2000;
/** The base model's: policies of a remote server are not managed here. */
const version = 0;

/** What is not asked for where `tokenIds` is `off`. */
const forTraining: readonly Askable[] = ['return_token_ids', 'logprobs', 'top_logprobs'];

type ListedModel = { readonly id: string; readonly created: number; readonly ownedBy: string; readonly maxLength: number | null };

export class OpenAIBackend implements PolicyBackend {
  readonly name = 'openai';
  readonly #upstream: Upstream;
  readonly #config: OpenAIBackendConfig;
  /** By model: what a server refused, learned from its answers. */
  readonly #refused = new Map<string, Set<Askable>>();
  /** Null: nothing has been answered yet. */
  #exact: boolean | null = null;
  #logprobs: LogprobsMode = 'unknown';
  #maxContext: number | null = null;

  constructor(config: OpenAIBackendConfig) {
    this.#config = config;
    this.#upstream = new Upstream({ baseUrl: config.baseUrl, apiKey: config.apiKey ?? null, timeoutMs: config.timeoutMs });
  }

  /**
   * Asks the server what it can do. One that does not answer now is taken as inexact until its first answer shows more.
   *
   * @throws ApiError where `tokenIds` is `require` and the server answers without ids
   */
  async probe(): Promise<void> {
    const signal = AbortSignal.timeout(probeTimeoutMs);
    const models = await this.#listModels(signal).catch(() => []);
    this.#maxContext = models[0]?.maxLength ?? null;
    const model = this.#config.model ?? models[0]?.id;
    if (this.#config.tokenIds === 'off' || model === undefined) return;
    const [atOne, atProbe] = await Promise.all([1, probeTemperature].map((temperature) => this.#probeOnce(probeBody(model, temperature), signal)));
    if (atOne === null) return;
    this.#exact = isExactAnswer(atOne);
    this.#logprobs = logprobsMode(atOne, atProbe);
    if (!this.#exact && this.#config.tokenIds === 'require') {
      throw new ApiError(502, `The server at ${this.#config.baseUrl} gives no token ids. Use vLLM, or set backend.tokenIds to "auto" to record its calls as inexact.`, { code: 'no_token_ids' });
    }
  }

  capabilities(): Capabilities {
    return { exact: this.#exact ?? false, policies: false, tools: true, maxContext: this.#maxContext };
  }

  models(): Promise<readonly ListedModel[]> {
    return this.#listModels(AbortSignal.timeout(this.#config.timeoutMs));
  }

  async chat(call: ChatCall, signal: AbortSignal): Promise<BackendReply> {
    const client = this.#config.model === undefined ? call.body : { ...call.body, model: this.#config.model };
    const { reply, asked } = await this.#send(client, call, signal);
    const recording = new Recording(version, this.#unusable(client));
    const answered = await answer({ reply, asked, recording });
    if (answered.kind === 'json') {
      this.#exact = recording.exact;
      return answered;
    }
    return {
      kind: 'stream',
      frames: async (take) => {
        await answered.frames(take);
        this.#exact = recording.exact;
      },
    };
  }

  currentVersion(): number {
    return version;
  }

  loadPolicy(): Promise<void> {
    return Promise.reject(noPolicies());
  }

  setCurrent(wanted: number): Promise<void> {
    return wanted === version ? Promise.resolve() : Promise.reject(noPolicies());
  }

  unloadPolicy(): Promise<void> {
    return Promise.reject(noPolicies());
  }

  async health(): Promise<{ readonly ok: boolean; readonly detail: string }> {
    try {
      await this.#listModels(AbortSignal.timeout(healthTimeoutMs));
      return { ok: true, detail: `${this.#config.baseUrl} answers` };
    } catch (error) {
      return { ok: false, detail: error instanceof Error ? error.message : String(error) };
    }
  }

  close(): Promise<void> {
    return this.#upstream.close();
  }

  /** Sends until the server takes it: fields of ours that it names in a refusal are left out, from then on. */
  async #send(client: JsonObject, call: ChatCall, signal: AbortSignal): Promise<Asking & { readonly reply: UpstreamReply }> {
    const model = typeof client['model'] === 'string' ? client['model'] : '';
    const without = new Set(this.#refused.get(model) ?? (this.#config.tokenIds === 'off' ? forTraining : []));
    for (;;) {
      const asking = ask(client, without);
      const reply = await this.#upstream.post('/chat/completions', asking.body, call.headers, signal);
      if (reply.statusCode < 400) {
        if (without.size > 0) this.#refused.set(model, without);
        return { ...asking, reply };
      }
      const text = await reply.text();
      const required = this.#config.tokenIds === 'require';
      const refused = required ? [] : refusedFields(reply.statusCode, text, asking.added);
      if (refused.length === 0) throw upstreamError(reply, text);
      for (const field of refused) without.add(field);
    }
  }

  /** Why log-probs of this call are not those of the distribution that was sampled from. Greedy calls record the raw ones by design. */
  #unusable(body: JsonObject): string | null {
    const temperature = body['temperature'] ?? 1;
    return this.#logprobs === 'raw' && temperature !== 1 && temperature !== 0 ? 'raw_logprobs' : null;
  }

  async #listModels(signal: AbortSignal): Promise<ListedModel[]> {
    const reply = await this.#upstream.get('/models', signal);
    const text = await reply.text();
    if (reply.statusCode >= 400) throw upstreamError(reply, text);
    const list = parseJsonOrNull(text);
    return records(isRecord(list) ? list['data'] : []).map((model) => ({
      id: String(model['id']),
      created: typeof model['created'] === 'number' ? model['created'] : 0,
      ownedBy: typeof model['owned_by'] === 'string' ? model['owned_by'] : 'unknown',
      maxLength: typeof model['max_model_len'] === 'number' ? model['max_model_len'] : null,
    }));
  }

  /** One probe's answer; null where there was none to learn from. */
  async #probeOnce(body: JsonObject, signal: AbortSignal): Promise<unknown> {
    try {
      const reply = await this.#upstream.post('/chat/completions', body, {}, signal);
      const text = await reply.text();
      return reply.statusCode >= 400 ? null : parseJsonOrNull(text);
    } catch {
      // Not up yet, or not willing: the first real answer will tell.
      return null;
    }
  }
}

function noPolicies(): ApiError {
  return new ApiError(501, 'This backend serves one policy: loading and swapping need the embedded backend, or vLLM servers (backend.kind: vllm).', { code: 'policies_unsupported' });
}
