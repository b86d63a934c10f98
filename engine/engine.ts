/** The embedded engine as the proxy sees it. Speaks token ids only. */
import type { Grammar } from '../model/grammar.ts';
import type { Penalties } from './penalties.ts';

/** How an engine is started (`startEngine` in client.ts). */
export interface EngineOptions {
  /** A Hugging Face directory, a `.gguf` file, or the id of a model in the HF_HOME cache, as `openModel` takes it. */
  readonly model: string;
  /** Where emitted graphs and float32 weights are kept; safe to delete while nothing runs. */
  readonly cacheDir: string;
  /** Longest prompt + completion, in tokens; the model's own limit caps it. */
  readonly maxContext: number;
  /** Sequences decoded at once, over all policy versions. */
  readonly maxRows: number;
  /** Requests that may wait for a row; more get `queue_full`. */
  readonly maxQueue: number;
  /** A request that has waited this long for a row gets `queue_timeout`. */
  readonly maxQueueMs: number;
  /** About how long reading a prompt may hold up requests that are being answered, between two of their tokens; 16 tokens are read at least. */
  readonly maxStallMs: number;
  /** Threads of one decode step; 0: as many as there are cores, or one for a small model. */
  readonly threads: number;
  /** Memory for keys and values that later requests may reuse, in bytes; 0: none is kept. */
  readonly prefixCacheBytes: number;
  /**
   * What weights are kept in: `int8` reads a quarter of the bytes in a step, and its log-probs differ from those of the same weights in float32, by which training computes. Default: float32.
   */
  readonly weights?: 'float32' | 'int8';
  /** What a running request does when the current policy changes. A request pinned to a version always stays on it. */
  readonly swap: 'finish' | 'cross';
  /**
   * Projections that adapters are expected on (`q_proj`). Adapters on others are taken too, but the first then has to open a session,
   * which makes running streams pause. Default: none are expected, which spares the base model the empty products.
   */
  readonly adapterTargets?: readonly string[];
  /** Special tokens that a grammar takes for the text they are written as (`<tool_call>`). Default: none. */
  readonly spokenSpecials?: readonly string[];
  /** Seeds requests that bring no seed of their own; without it they draw one at random. */
  readonly seed?: number;
}

export interface SamplingOptions extends Penalties {
  /** 0 is greedy (argmax). */
  readonly temperature: number;
  /** 1 is off. */
  readonly topP: number;
  /** 0 is off. */
  readonly topK: number;
  /** 0 is off. */
  readonly minP: number;
  /** Added to the logits of these tokens. */
  readonly logitBias?: readonly (readonly [tokenId: number, bias: number])[];
  /** Null: the engine draws one. The same seed gives the same tokens, whatever else is in the batch. */
  readonly seed: number | null;
}

export interface GenerateRequest {
  readonly promptTokenIds: Int32Array;
  /** Choices to sample from one prefill. */
  readonly n: number;
  /** Most tokens a choice may have; the engine also stops at the context's end. */
  readonly maxTokens: number;
  /** Generation ends after one of these; it is part of the completion (with its log-prob). */
  readonly stopTokenIds: readonly number[];
  readonly sampling: SamplingOptions;
  /** How many alternatives to report per token (0 to 20). */
  readonly topLogprobs: number;
  /** What every choice must be; its mask is part of the distribution that is sampled from. */
  readonly grammar?: Grammar;
  /** A policy version to serve from; null is the current one. */
  readonly version: number | null;
}

export interface SampledToken {
  readonly id: number;
  /**
   * Natural log-prob under the distribution it was sampled from (after a grammar's mask, logit bias, penalties, temperature, min-p, top-k, top-p). Greedy sampling
   * (temperature 0) has a point mass: the log-prob reported is then the raw one.
   */
  readonly logprob: number;
  /** Natural log-prob under the model's raw distribution (no penalties, temperature 1, nothing cut). */
  readonly rawLogprob: number;
  /** Most likely first, raw log-probs; empty unless asked for. */
  readonly top: readonly { readonly id: number; readonly logprob: number }[];
  /** The policy version that sampled it. */
  readonly version: number;
}

export type FinishReason = 'stop' | 'length';

export type GenerateEvent =
  /** The request left the queue and its prompt is being read. */
  | { readonly type: 'started'; readonly queueMs: number }
  | { readonly type: 'token'; readonly choice: number; readonly token: SampledToken }
  | { readonly type: 'finished'; readonly choice: number; readonly reason: FinishReason };

export interface PolicyFiles {
  readonly version: number;
  readonly kind: 'adapter' | 'full';
  /** Absolute path of the published policy directory. */
  readonly directory: string;
}

export interface EngineStats {
  readonly running: number;
  readonly waiting: number;
  readonly currentVersion: number;
  readonly loadedVersions: readonly number[];
  /** For keys and values of running requests; of this, memory is what was written. */
  readonly kvBytes: number;
  /** Of texts that later requests may go on from. */
  readonly prefixBytes: number;
  /** Prompt tokens that were read. */
  readonly promptTokens: number;
  /** Prompt tokens that did not have to be read, because they were known. */
  readonly reusedTokens: number;
  readonly completionTokens: number;
  readonly decodeSteps: number;
}

/**
 * Errors: `EngineError` with code `context_length_exceeded`, `queue_full`, `queue_timeout`, `unknown_version`, `invalid_grammar`, `out_of_memory`,
 * `engine_failed`. Aborting the signal ends the iteration with the signal's reason and frees the row within one decode step.
 */
export interface Engine {
  readonly maxContext: number;
  generate(request: GenerateRequest, signal: AbortSignal): AsyncIterable<GenerateEvent>;
  /** Makes a version servable; requests are not disturbed. */
  loadPolicy(files: PolicyFiles): Promise<void>;
  /** New requests go to this version from the next decode step on. Running ones finish on theirs, or cross over, as configured. */
  setCurrent(version: number): Promise<void>;
  /**
   * Takes no new requests for this version and frees it once its last request has ended and another version is current. Resolves
   * as soon as that is noted: nobody has to wait for a long stream. Version 0, the base model, is never freed.
   */
  unloadPolicy(version: number): Promise<void>;
  stats(): Promise<EngineStats>;
  close(): Promise<void>;
}

export class EngineError extends Error {
  readonly code: 'context_length_exceeded' | 'queue_full' | 'queue_timeout' | 'unknown_version' | 'invalid_grammar' | 'out_of_memory' | 'engine_failed';
  constructor(code: EngineError['code'], message: string) {
    super(message);
    this.name = 'EngineError';
    this.code = code;
  }
}
