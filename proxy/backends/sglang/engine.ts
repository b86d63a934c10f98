/** An SGLang server as an engine of token ids. Policies are LoRA adapters, each under a name of its own. */
import type { GenerateRequest, PolicyFiles } from '../../../engine/engine.ts';
import type { Grammar } from '../../../model/grammar.ts';
import { ApiError, UpstreamError } from '../../errors.ts';
import { PolicyLeases } from '../leases.ts';
import { marked, type TokenEngine, type TokenEvent } from '../tokens/engine.ts';
import { isContextFree } from '../tokens/gbnf.ts';
import type { TokenServer } from '../tokens/server.ts';
import { adapterOf, type Adapter } from '../vllm/adapter.ts';
import { generateBody, unusableReason } from './asking.ts';
import type { ServerFacts } from './facts.ts';
import { GenerateReader } from './reading.ts';

const healthTimeoutMs = 10_000;
const loadTimeoutMs = 120_000;

export class SglangEngine implements TokenEngine {
  readonly name = 'sglang';
  readonly maxContext: number;
  readonly loadsPolicies = true;
  readonly #server: TokenServer;
  readonly #facts: ServerFacts;
  readonly #policies = new PolicyLeases<Adapter | null>();
  #current = 0;

  constructor(server: TokenServer, facts: ServerFacts) {
    this.#server = server;
    this.#facts = facts;
    this.maxContext = facts.maxContext;
    this.#policies.add(0, null); // the base model is always there
  }

  holds(grammar: Grammar): boolean {
    return isContextFree(grammar);
  }

  generate(request: GenerateRequest, signal: AbortSignal): AsyncGenerator<TokenEvent> {
    return marked(this.#sample(request, signal), request.n, unusableReason(request.sampling, this.#facts.logprobs));
  }

  async *#sample(request: GenerateRequest, signal: AbortSignal): AsyncGenerator<TokenEvent> {
    const version = request.version ?? this.#current;
    const lease = this.#policies.lease(version);
    try {
      const reader = new GenerateReader(request.n, { version, promptTokens: request.promptTokenIds.length });
      for await (const event of this.#server.events('/generate', generateBody(request, lease.loaded?.name ?? null), signal)) {
        yield* reader.read(event);
        if (reader.hasEnded) return;
      }
      throw new UpstreamError(502, 'SGLang ended the stream before the answer was complete.', null, { code: 'upstream_truncated' });
    } finally {
      lease.release();
    }
  }

  /** @throws ApiError 409 for whole models, and where the server refuses the adapter */
  async loadPolicy({ version, kind, directory }: PolicyFiles): Promise<void> {
    if (kind === 'full') throw new ApiError(409, `Policy version ${version} is a whole model, and only adapters are loaded into a running SGLang. Train with trainer.method lora.`, { code: 'policies_unsupported' });
    const adapter = await adapterOf(version, directory);
    try {
      await this.#server.post('/load_lora_adapter', { lora_name: adapter.name, lora_path: adapter.directory }, AbortSignal.timeout(loadTimeoutMs));
    } catch (error) {
      if (!isLoadedAlready(error)) throw new ApiError(409, `SGLang does not take policy version ${version}: ${error instanceof Error ? error.message : String(error)} It must be started with --enable-lora, and see ${adapter.directory}.`, { code: 'adapter_refused', cause: error });
    }
    this.#policies.add(version, adapter);
  }

  setCurrent(version: number): Promise<void> {
    this.#current = version;
    return Promise.resolve();
  }

  async unloadPolicy(version: number): Promise<void> {
    const adapter = await this.#policies.letGo(version);
    if (adapter !== null) await this.#server.post('/unload_lora_adapter', { lora_name: adapter.name }, AbortSignal.timeout(loadTimeoutMs));
  }

  stats(): Promise<Readonly<Record<string, number>>> {
    return Promise.resolve({ requests_running: this.#policies.leased, versions_loaded: this.#policies.versions.size });
  }

  health(): Promise<{ readonly ok: boolean; readonly detail: string }> {
    return this.#server.health(healthTimeoutMs);
  }

  close(): Promise<void> {
    return this.#server.close();
  }
}

/** By an earlier process of ours: the name says which weights it has. */
const isLoadedAlready = (error: unknown): boolean => error instanceof UpstreamError && error.status === 400 && /\balready (loaded|exists)\b/.test(error.message);
