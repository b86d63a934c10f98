/** One vLLM server: whether it may take calls, and which adapters it has. */
import type { IncomingHttpHeaders } from 'node:http';
import { ApiError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { JsonObject } from '../openai/json.ts';
import { messageOf, parseJsonOrNull, Upstream, type UpstreamReply } from '../openai/upstream.ts';
import type { Adapter } from './adapter.ts';
import type { Choosable } from './choose.ts';
import { probeReplica, type Abilities } from './probe.ts';
import { readLoad, readModels, type ModelList } from './protocol.ts';
import { wakeUp } from './sleep.ts';

/** `joining`: it answers, and gets what it needs before it takes calls. */
export type ReplicaState = 'down' | 'joining' | 'ready';

const transitions: Readonly<Record<ReplicaState, readonly ReplicaState[]>> = { down: ['joining'], joining: ['ready', 'down'], ready: ['down'] };

const healthTimeoutMs = 2000;
/** Reading an adapter of a large model from a slow disk. */
const loadTimeoutMs = 120_000;
/** Health checks that may go unanswered before a server is given up: a busy one answers late. */
const patience = 3;

export interface ReplicaOptions {
  /** With `/v1` at its end, or without. */
  readonly baseUrl: string;
  readonly apiKey: string | null;
  readonly timeoutMs: number;
  readonly log: Log;
  /** It sleeps while the trainer computes. */
  readonly sleeps: boolean;
  /** What every replica must have before it takes calls, at this moment. */
  readonly needed: () => readonly Adapter[];
}

export class Replica implements Choosable {
  /** Without `/v1`. */
  readonly url: string;
  readonly upstream: Upstream;
  outstanding = 0;
  chosenAt = 0;
  /** The server's own list of models, as last seen; null before it was. */
  models: ModelList | null = null;
  /** Null before it was asked. */
  abilities: Abilities | null = null;
  readonly #options: ReplicaOptions;
  #state: ReplicaState = 'down';
  #detail = 'not looked at yet';
  #unanswered = 0;
  #checking: Promise<void> | null = null;
  /** Names of adapters that it is known to have. */
  readonly #loaded = new Set<string>();
  /** Calls that it has not begun to answer. */
  readonly #waiting = new Set<AbortController>();
  /** Loading, unloading and joining take turns. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: ReplicaOptions) {
    this.#options = options;
    this.url = options.baseUrl.replace(/\/+$/, '').replace(/\/v1$/, '');
    this.upstream = new Upstream({ baseUrl: this.url, apiKey: options.apiKey, timeoutMs: options.timeoutMs });
  }

  get isReady(): boolean {
    return this.#state === 'ready';
  }

  /** `http://127.0.0.1:8000: ready` */
  get description(): string {
    return `${this.url}: ${this.#state}${this.isReady ? '' : ` (${this.#detail})`}`;
  }

  /** @throws ApiError as `Upstream.post`, and 502 `replica_down` where it is given up before it answers */
  async post(body: JsonObject, headers: IncomingHttpHeaders, signal: AbortSignal): Promise<UpstreamReply> {
    const waiting = new AbortController();
    this.#waiting.add(waiting);
    try {
      return await this.upstream.post('/v1/chat/completions', body, headers, AbortSignal.any([signal, waiting.signal]));
    } finally {
      this.#waiting.delete(waiting);
    }
  }

  /** Looks after it: takes it out when it does not answer, and lets it in when it has what it needs. Checks that are asked for meanwhile are this one. */
  check(signal: AbortSignal): Promise<void> {
    return this.#checking ??= this.#check(signal).finally(() => { this.#checking = null; });
  }

  async #check(signal: AbortSignal): Promise<void> {
    const before = [...this.#loaded];
    const found = await this.#look(signal);
    if (signal.aborted) return;
    if ('why' in found) {
      if (found.gone || ++this.#unanswered >= patience || !this.isReady) this.#giveUp(found.why);
      return;
    }
    this.#unanswered = 0;
    this.models = found;
    // What was unloaded meanwhile is not lost.
    const lost = before.filter((name) => this.#loaded.has(name) && !found.adapters.has(name));
    if (!this.isReady || lost.length > 0) await this.#inTurn(() => this.#join(found, lost, signal));
  }

  /**
   * Gives it an adapter, where it takes calls; a replica that does not gets it when it joins, which nobody waits for.
   * @throws ApiError 409 where the server refuses the adapter
   */
  async load(adapter: Adapter): Promise<void> {
    if (this.isReady) await this.#inTurn(async () => { if (this.isReady) await this.#load(adapter); });
  }

  unload(adapter: Adapter): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#loaded.delete(adapter.name) || this.#state === 'down') return;
      const signal = AbortSignal.timeout(loadTimeoutMs);
      const reply = await this.upstream.post('/v1/unload_lora_adapter', { lora_name: adapter.name }, {}, signal);
      await reply.text();
    });
  }

  async close(): Promise<void> {
    await this.upstream.close();
  }

  /** What it lists, where it is well. `gone`: there is nobody; else it may only be slow. */
  async #look(signal: AbortSignal): Promise<ModelList | { readonly gone: boolean; readonly why: string }> {
    const within = AbortSignal.any([signal, AbortSignal.timeout(healthTimeoutMs)]);
    try {
      const health = await this.upstream.get('/health', within);
      await health.text();
      if (health.statusCode >= 400) return { gone: true, why: `/health answers ${health.statusCode}` };
      const list = await this.upstream.get('/v1/models', within);
      const text = await list.text();
      return (list.statusCode < 400 ? readModels(parseJsonOrNull(text)) : null) ?? { gone: false, why: `/v1/models answers ${list.statusCode}: ${text.slice(0, 200)}` };
    } catch (error) {
      return { gone: error instanceof ApiError && error.code === 'upstream_unreachable', why: messageOfError(error) };
    }
  }

  /** @param lost names of adapters that it had: it was restarted */
  async #join(models: ModelList, lost: readonly string[], signal: AbortSignal): Promise<void> {
    if (this.isReady) this.#become('down', 'it has lost its adapters');
    if (this.#state === 'down') this.#become('joining', this.#detail);
    for (const name of lost) this.#loaded.delete(name);
    for (const { name } of this.#missing()) if (models.adapters.has(name)) this.#loaded.add(name);
    try {
      // An earlier proxy may have left it asleep; and one that cannot sleep is found out now.
      if (this.#options.sleeps) await wakeUp(this.upstream);
      this.abilities = await probeReplica(this, models.base, signal);
      // More may be needed by the time that one is loaded.
      for (let missing = this.#missing(); missing.length > 0; missing = this.#missing()) {
        for (const adapter of missing) {
          await this.#load(adapter);
          if (this.#state !== 'joining') return;
        }
      }
      this.#become('ready', '');
    } catch (error) {
      if (signal.aborted) return;
      const why = messageOfError(error);
      if (why !== this.#detail) this.#options.log.error(`vLLM at ${this.url} cannot take calls: ${why}`);
      this.#become('down', why);
    }
  }

  #missing(): readonly Adapter[] {
    return this.#options.needed().filter(({ name }) => !this.#loaded.has(name));
  }

  async #load({ name, directory, version }: Adapter): Promise<void> {
    const signal = AbortSignal.timeout(loadTimeoutMs);
    let answer;
    try {
      const reply = await this.upstream.post('/v1/load_lora_adapter', { lora_name: name, lora_path: directory }, {}, signal);
      const text = await reply.text();
      answer = readLoad(reply.statusCode, messageOf(parseJsonOrNull(text)) ?? text.slice(0, 200));
    } catch (error) {
      answer = { kind: 'failed', why: messageOfError(error) } as const;
    }
    if (answer.kind === 'refused') {
      throw new ApiError(409, `vLLM at ${this.url} does not take policy version ${version} from ${directory}: ${answer.why}. It must see that directory, and be started with --enable-lora, --max-lora-rank as large as trainer.lora.rank, and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True.`, { code: 'policy_refused' });
    }
    if (answer.kind === 'loaded') this.#loaded.add(name);
    else this.#become('down', `loading policy version ${version} failed: ${answer.why}`);
  }

  #become(state: ReplicaState, detail: string): void {
    this.#detail = detail;
    if (state === this.#state) return;
    if (!transitions[this.#state].includes(state)) throw new Error(`a replica that is ${this.#state} cannot become ${state}`);
    const { log } = this.#options;
    if (state === 'ready') log.info(`vLLM at ${this.url} takes calls`);
    if (this.isReady) log.error(`vLLM at ${this.url} takes no calls any more: ${detail}`);
    this.#state = state;
  }

  /** A server that hangs would never answer the calls that wait for it, and another replica may. Answers that have begun go on. */
  #giveUp(why: string): void {
    this.#become('down', why);
    const failure = new ApiError(502, `vLLM at ${this.url} does not answer (${why}).`, { code: 'replica_down', type: 'upstream_error' });
    for (const waiting of this.#waiting) waiting.abort(failure);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#turn.then(work);
    // The next turn comes whatever became of this one; its caller has the error.
    this.#turn = next.catch(() => undefined);
    return next;
  }
}

const messageOfError = (error: unknown): string => (error instanceof Error ? error.message : String(error));
