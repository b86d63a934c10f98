/**
 * vLLM servers: calls go to one of several replicas as the client wrote them, under the current policy's name; policies are LoRA adapters that
 * every replica has before they are current.
 */
import { once } from 'node:events';
import type { BackendReply, Capabilities, ChatCall, Frames, PolicyBackend } from '../backend.ts';
import { ApiError, UpstreamError } from '../../errors.ts';
import type { PolicyLeases } from '../leases.ts';
import { answer } from '../openai/answering.ts';
import { ask, type Asked } from '../openai/asking.ts';
import { Recording } from '../openai/recording.ts';
import { upstreamError, type UpstreamReply } from '../openai/upstream.ts';
import { adapterOf, type Adapter } from './adapter.ts';
import { unusable } from './probe.ts';
import { isReplicaFailure, isUnknownModel } from './protocol.ts';
import type { Replica } from './replica.ts';
import type { Replicas } from './replicas.ts';

export interface VllmParts {
  readonly replicas: Replicas;
  /** What calls may be served from. */
  readonly policies: PolicyLeases<Adapter | null>;
  /** Public name; null: the servers' own name of their base model. */
  readonly name: string | null;
  /** Of the weights, where the configuration says where they are. */
  readonly fingerprint: string | undefined;
}

interface Sent {
  readonly replica: Replica;
  readonly reply: UpstreamReply;
  readonly asked: Asked;
  /** To be called when the answer has ended. */
  readonly release: () => void;
}

/** Replicas that one call is tried on: a request that breaks servers must not go through all of them. */
const mostTries = 3;
/** Codes of failures that are a replica's, and not the client's. */
const replicasFaults: ReadonlySet<string> = new Set(['upstream_unreachable', 'replica_lost_policy', 'replica_down']);
/** Every field may be asked for: a replica that does not give them takes no calls. */
const nothing: ReadonlySet<never> = new Set();

export class VllmBackend implements PolicyBackend {
  readonly name = 'vllm';
  readonly fingerprint?: string;
  readonly #parts: VllmParts;
  #currentVersion = 0;
  /** While the servers sleep: what calls wait for. */
  #rest: PromiseWithResolvers<void> | null = null;

  constructor(parts: VllmParts) {
    this.#parts = parts;
    if (parts.fingerprint !== undefined) this.fingerprint = parts.fingerprint;
  }

  capabilities(): Capabilities {
    const { ready } = this.#parts.replicas;
    const lengths = ready.flatMap(({ models }) => models?.maxLength ?? []);
    return { exact: true, policies: true, tools: true, maxContext: lengths.length === 0 ? null : Math.min(...lengths) };
  }

  models(): Promise<readonly { readonly id: string; readonly created: number; readonly ownedBy: string }[]> {
    const models = this.#parts.replicas.all.find((replica) => replica.models !== null)?.models;
    const id = this.#publicName;
    return Promise.resolve(id === null ? [] : [{ id, created: models?.created ?? 0, ownedBy: models?.ownedBy ?? 'vllm' }]);
  }

  async chat(call: ChatCall, signal: AbortSignal): Promise<BackendReply> {
    this.#requireModel(call.body['model']);
    await this.#whenAwake(signal);
    const version = call.version ?? this.#currentVersion;
    // What is taken for the length of the call; a stream takes it over.
    using held = new DisposableStack();
    const lease = this.#parts.policies.lease(version);
    held.defer(lease.release);
    const { replica, reply, asked, release } = await this.#send(call, lease.loaded, signal);
    held.defer(release);
    const recording = new Recording(version, replica.abilities === null ? null : unusable(replica.abilities, call.body));
    const answered = await answer({ reply, asked, recording });
    return answered.kind === 'json' ? answered : { kind: 'stream', frames: holding(held.move(), answered.frames) };
  }

  currentVersion(): number {
    return this.#currentVersion;
  }

  /** @throws ApiError 409 for whole models, and where a server refuses the adapter */
  async loadPolicy({ version, kind, directory }: { version: number; kind: 'adapter' | 'full'; directory: string }): Promise<void> {
    const { policies, replicas } = this.#parts;
    if (kind === 'full') throw new ApiError(409, `Policy version ${version} is a whole model, and vLLM takes only adapters while it runs. Serve it as the servers' base model, or train with trainer.method lora.`, { code: 'policies_unsupported' });
    const adapter = await adapterOf(version, directory);
    await this.#rest?.promise;
    // From here on, a replica that joins loads it as well.
    policies.add(version, adapter);
    try {
      await replicas.load(adapter);
    } catch (error) {
      policies.remove(version);
      await replicas.unload(adapter);
      throw error;
    }
  }

  setCurrent(version: number): Promise<void> {
    if (this.#parts.policies.find(version) === undefined) return Promise.reject(new ApiError(409, `Policy version ${version} is not loaded.`, { code: 'unknown_version' }));
    this.#currentVersion = version;
    return Promise.resolve();
  }

  async unloadPolicy(version: number): Promise<void> {
    const adapter = await this.#parts.policies.letGo(version);
    if (adapter !== null) await this.#parts.replicas.unload(adapter);
  }

  /** @throws ApiError where a server does not sleep; `wake` then lets calls in again */
  async rest(): Promise<void> {
    this.#rest ??= Promise.withResolvers();
    await this.#parts.policies.whenIdle();
    await this.#parts.replicas.rest();
  }

  async wake(): Promise<void> {
    try {
      await this.#parts.replicas.wake();
    } finally {
      this.#rest?.resolve();
      this.#rest = null;
    }
  }

  stats(): Promise<Readonly<Record<string, number>>> {
    const { replicas, policies } = this.#parts;
    return Promise.resolve({ replicas: replicas.all.length, replicas_ready: replicas.ready.length, requests_running: policies.leased, versions_loaded: policies.versions.size, resting: Number(this.#rest !== null) });
  }

  health(): Promise<{ readonly ok: boolean; readonly detail: string }> {
    const { replicas } = this.#parts;
    return Promise.resolve({ ok: replicas.ready.length > 0, detail: replicas.description });
  }

  async close(): Promise<void> {
    await this.#parts.replicas.close();
  }

  async #whenAwake(signal: AbortSignal): Promise<void> {
    while (this.#rest !== null) {
      await Promise.race([this.#rest.promise, once(signal, 'abort')]);
      signal.throwIfAborted();
    }
  }

  get #publicName(): string | null {
    return this.#parts.name ?? this.#parts.replicas.all.find(({ models }) => models !== null)?.models?.base ?? null;
  }

  /** Adapters on the servers, ours among them, are not for clients: a call to one would be recorded under a version that did not answer it. */
  #requireModel(model: unknown): void {
    const name = this.#publicName;
    if (name !== null && model !== name) throw new ApiError(404, `The model "${String(model)}" does not exist here. Use "${name}".`, { code: 'model_not_found', param: 'model' });
  }

  /** Sends the call to a replica, and to another one where that fails before it answers. */
  async #send(call: ChatCall, adapter: Adapter | null, signal: AbortSignal): Promise<Sent> {
    const { replicas } = this.#parts;
    const tried = new Set<Replica>();
    let failure: unknown;
    for (;;) {
      const taken = this.#take(call.rollout, tried, failure);
      const { replica } = taken;
      tried.add(replica);
      try {
        const model = adapter?.name ?? replica.models?.base ?? String(call.body['model']);
        const { body, asked } = ask(call.body, nothing, model);
        const reply = await replica.post(body, call.headers, signal);
        if (reply.statusCode < 400) return { replica, reply, asked, release: taken.release };
        throw await refusal(replica, reply, model);
      } catch (error) {
        taken.release();
        if (signal.aborted || !isReplicasFault(error)) throw error;
        failure = error;
        replicas.suspect(replica);
      }
    }
  }

  /** @param failure of the replica before; what the client is told where there is no other */
  #take(rollout: string, tried: ReadonlySet<Replica>, failure: unknown): ReturnType<Replicas['take']> {
    if (tried.size >= mostTries) throw failure;
    try {
      return this.#parts.replicas.take(rollout, tried);
    } catch (error) {
      throw failure ?? error;
    }
  }
}

/** A policy that the server was given and does not know any more is not the client's mistake. */
async function refusal(replica: Replica, reply: UpstreamReply, model: string): Promise<ApiError> {
  const error = upstreamError(reply, await reply.text());
  if (!isUnknownModel(error.status, error.message, model)) return error;
  return new ApiError(503, `vLLM at ${replica.url} has been restarted and gets its policy again. Try again.`, { code: 'replica_lost_policy', retryAfter: 1, cause: error });
}

function isReplicasFault(error: unknown): boolean {
  if (error instanceof UpstreamError) return isReplicaFailure(error.status);
  return error instanceof ApiError && error.code !== null && replicasFaults.has(error.code);
}

/** Frames that hold something until they end, fail or are left. */
const holding = (held: Disposable, frames: Frames): Frames => async (take) => {
  using _ = held;
  await frames(take);
};
