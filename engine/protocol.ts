/** What the main thread and the engine's thread say to each other. Structured-clone data only. */
import type { MessagePort } from 'node:worker_threads';
import type { EngineError, EngineOptions, EngineStats, GenerateEvent, GenerateRequest, PolicyFiles } from './engine.ts';

export interface ThreadData {
  readonly options: EngineOptions;
}

export type ToEngine =
  /** `submittedMs`: milliseconds since the epoch, on the clock that both threads share. */
  | { readonly type: 'generate'; readonly id: number; readonly request: GenerateRequest; readonly submittedMs: number }
  | { readonly type: 'abort'; readonly id: number }
  | { readonly type: 'call'; readonly id: number; readonly call: Call }
  /** The engine's end of a channel to a grammar thread that was started. */
  | { readonly type: 'grammars'; readonly port: MessagePort }
  | { readonly type: 'close' };

/** Requests with one answer each. */
export type Call =
  | { readonly method: 'loadPolicy'; readonly files: PolicyFiles }
  | { readonly method: 'setCurrent'; readonly version: number }
  | { readonly method: 'unloadPolicy'; readonly version: number }
  | { readonly method: 'stats' };

export interface Failure {
  readonly code: EngineError['code'];
  readonly message: string;
}

/** Something that happened to one request. After `done` or `failed` nothing more comes for it. */
export type RequestEvent = GenerateEvent | { readonly type: 'done' } | { readonly type: 'failed'; readonly error: Failure };

export type FromEngine =
  | { readonly type: 'ready'; readonly maxContext: number }
  /** All that one step produced, in order: one message a step. */
  | { readonly type: 'events'; readonly events: readonly { readonly id: number; readonly event: RequestEvent }[] }
  | { readonly type: 'answer'; readonly id: number; readonly stats: EngineStats | null }
  | { readonly type: 'refused'; readonly id: number; readonly error: Failure }
  /** The engine can't go on: every request fails with this. */
  | { readonly type: 'broken'; readonly error: Failure };

/** The clock that threads of one process share, in milliseconds. */
export const sharedNow = (): number => performance.timeOrigin + performance.now();
