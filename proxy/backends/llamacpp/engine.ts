/** llama.cpp's server as an engine of token ids. The policies that it can serve are the adapters that it was started with. */
import { basename, dirname, resolve } from 'node:path';
import { EngineError, type GenerateRequest, type PolicyFiles } from '../../../engine/engine.ts';
import type { Grammar } from '../../../model/grammar.ts';
import type { Tokenizer } from '../../../model/tokenizer.ts';
import { ApiError, UpstreamError } from '../../errors.ts';
import { inexact } from '../openai/recording.ts';
import { marked, type TokenEngine, type TokenEvent } from '../tokens/engine.ts';
import { isContextFree } from '../tokens/gbnf.ts';
import type { TokenServer } from '../tokens/server.ts';
import { completionBody, probabilitiesOf, type AdapterScale } from './asking.ts';
import type { ServerFacts } from './facts.ts';
import { HiddenTokenFinder } from './hidden-tokens.ts';
import { CompletionReader, type Unscored } from './reading.ts';
import { canRescore, rescore } from './rescoring.ts';

const healthTimeoutMs = 2000;

/** Where an adapter of a published policy is looked for: llama.cpp's `convert_lora_to_gguf.py` writes it there. */
export const adapterFile = 'adapter.gguf';

/** Why log-probs of a call are not those of its distribution: b11434 samples first and asks the grammar then, and reports what it sampled from first. */
const notHeld = 'raw_logprobs';

export class LlamaCppEngine implements TokenEngine {
  readonly name = 'llamacpp';
  readonly maxContext: number;
  readonly loadsPolicies: boolean;
  readonly #server: TokenServer;
  readonly #facts: ServerFacts;
  readonly #tokenizer: Tokenizer;
  readonly #hidden: HiddenTokenFinder;
  /** Policy version → id of its adapter; null: the base model. */
  readonly #adapterOf = new Map<number, number | null>([[0, null]]);
  #current = 0;

  constructor(server: TokenServer, facts: ServerFacts, tokenizer: Tokenizer) {
    this.#server = server;
    this.#facts = facts;
    this.#tokenizer = tokenizer;
    this.#hidden = new HiddenTokenFinder(tokenizer);
    this.maxContext = facts.maxContext;
    this.loadsPolicies = facts.adapters.length > 0;
  }

  holds(grammar: Grammar): boolean {
    return isContextFree(grammar);
  }

  generate(request: GenerateRequest, signal: AbortSignal): AsyncGenerator<TokenEvent> {
    return marked(this.#sample(request, signal), request.n, request.grammar === undefined ? null : notHeld);
  }

  async *#sample(request: GenerateRequest, signal: AbortSignal): AsyncGenerator<TokenEvent> {
    const version = request.version ?? this.#current;
    const reader = new CompletionReader(request.n, {
      version,
      probabilities: probabilitiesOf(request.sampling),
      topLogprobs: request.topLogprobs,
      promptTokens: request.promptTokenIds.length,
      stopTokenIds: request.stopTokenIds,
    }, this.#hidden);
    const adapters = this.#scales(version);
    for await (const event of this.#server.events('/completion', completionBody(request, adapters), signal)) {
      for (const read of reader.read(event)) {
        if (read.type === 'unscored') yield* this.#score(read, request, adapters, version, signal);
        else yield read;
      }
      if (reader.hasEnded) return;
    }
    throw new UpstreamError(502, 'llama.cpp ended the stream before the answer was complete.', null, { code: 'upstream_truncated' });
  }

  /** @throws ApiError 409 where the server was not started with the policy's adapter */
  loadPolicy({ version, kind, directory }: PolicyFiles): Promise<void> {
    const path = resolve(directory, adapterFile);
    const adapter = this.#facts.adapters.find((candidate) => kind === 'adapter' && isSameFile(candidate.path, path));
    if (adapter === undefined) {
      return Promise.reject(new ApiError(409, `llama.cpp takes no models or adapters while it runs. To serve version ${version}, convert its adapter (convert_lora_to_gguf.py --outfile ${path} ${directory}) and start llama-server with --lora ${path} --lora-init-without-apply.`, { code: 'policies_unsupported' }));
    }
    this.#adapterOf.set(version, adapter.id);
    return Promise.resolve();
  }

  setCurrent(version: number): Promise<void> {
    this.#current = version;
    return Promise.resolve();
  }

  /** Requests that run keep the scales that they were sent with. */
  unloadPolicy(version: number): Promise<void> {
    this.#adapterOf.delete(version);
    return Promise.resolve();
  }

  stats(): Promise<Readonly<Record<string, number>>> {
    return Promise.resolve({ versions_loaded: this.#adapterOf.size });
  }

  health(): Promise<{ readonly ok: boolean; readonly detail: string }> {
    return this.#server.health(healthTimeoutMs);
  }

  close(): Promise<void> {
    return this.#server.close();
  }

  async *#score({ choice, before, ids }: Unscored, request: GenerateRequest, adapters: readonly AdapterScale[], version: number, signal: AbortSignal): AsyncGenerator<TokenEvent> {
    const rescoring = { server: this.#server, request, adapters, vocabSize: this.#tokenizer.vocabSize };
    for (const [i, id] of ids.entries()) {
      const logprob = canRescore(request) ? await rescore(rescoring, [...before, ...ids.slice(0, i)], id, signal) : null;
      if (logprob === null) yield { type: 'unusable', choice, reason: inexact };
      yield { type: 'token', choice, token: { id, logprob: logprob ?? NaN, rawLogprob: logprob ?? NaN, top: [], version } };
    }
  }

  /** Every adapter of the server is named: what is not named is as the server has it. */
  #scales(version: number): AdapterScale[] {
    const wanted = this.#adapterOf.get(version);
    if (wanted === undefined) throw new EngineError('unknown_version', `Version ${version} is not loaded.`);
    return this.#facts.adapters.map(({ id }) => ({ id, scale: id === wanted ? 1 : 0 }));
  }
}

/** The server may see the data directory under another path: the policy's own directory and the file must be the same. */
function isSameFile(served: string, path: string): boolean {
  const tail = (file: string): string => `${basename(dirname(file))}/${basename(file)}`;
  return tail(served) === tail(path);
}
