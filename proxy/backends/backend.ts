/**
 * What every policy backend does. The internal call is an OpenAI chat completion: dialects translate to and from it, and a
 * backend answers with chat-completion objects (as the client may see them) beside what capture needs.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { Usage } from '../../store/schema.ts';
import type { Take } from '../pulled.ts';

/** A parsed chat request. `body` is the client's JSON as it came: unknown fields pass. */
export interface ChatCall {
  readonly body: Readonly<Record<string, unknown>>;
  readonly stream: boolean;
  /** Headers worth passing upstream (never credentials of the proxy's own). */
  readonly headers: IncomingHttpHeaders;
  /** Pinned policy version, or null for the current one. */
  readonly version: number | null;
  /** Whose call it is. */
  readonly rollout: string;
  /** Response id to use where the backend makes it (`chatcmpl-…`). */
  readonly responseId: string;
}

/** What one frame (or the whole response) says about one choice. Token ids are the engine's own. */
export interface CaptureDelta {
  readonly choice: number;
  readonly promptTokenIds?: Int32Array;
  readonly tokenIds?: readonly number[];
  /** Behaviour log-probs, one for each of `tokenIds`. */
  readonly logprobs?: readonly number[];
  readonly version?: number;
  readonly finishReason?: string;
  /** Of the whole call (all choices), as the backend counted it; on one delta only. */
  readonly usage?: Usage;
  readonly queueMs?: number;
  /** Why this choice must not be trained on. */
  readonly quarantine?: string;
}

/** One server-sent event: `data` is what the client sees (null: nothing), `capture` what the recorder keeps. */
export interface Frame {
  readonly data: string | null;
  readonly capture: readonly CaptureDelta[];
}

/** A stream: gives its frames to `take` in order, those that came together at once. Resolves after the last one, rejects with what ended it early. */
export type Frames = (take: Take<readonly Frame[]>) => Promise<void>;

/** Frames of a generator, which is left where `take` fails. */
export const eachOf = (frames: AsyncIterable<Frame>): Frames => async (take) => {
  for await (const frame of frames) {
    const held = take([frame]);
    if (held !== undefined) await held;
  }
};

export type BackendReply =
  | { readonly kind: 'json'; readonly status: number; readonly body: unknown; readonly capture: readonly CaptureDelta[] }
  /** `frames` excludes the closing `[DONE]`: the recorder commits the step first, then the app writes it. */
  | { readonly kind: 'stream'; readonly frames: Frames };

/** Why an answer in one piece did not come, its `cause`, beside what had been generated of it. */
export class CutOff extends Error {
  readonly capture: readonly CaptureDelta[];

  constructor(capture: readonly CaptureDelta[], cause: unknown) {
    super('The answer was cut off.', { cause });
    this.name = 'CutOff';
    this.capture = capture;
  }
}

export interface Capabilities {
  /** Token ids and log-probs come from the engine itself. False: steps are recorded as `inexact` and not trained on. */
  readonly exact: boolean;
  /** Policies can be loaded and swapped. */
  readonly policies: boolean;
  readonly tools: boolean;
  readonly maxContext: number | null;
}

export interface PolicyBackend {
  readonly name: string;
  /** Of the base model, where the backend knows it: a data directory is tied to one. */
  readonly fingerprint?: string;
  capabilities(): Capabilities;
  models(): Promise<readonly { readonly id: string; readonly created: number; readonly ownedBy: string }[]>;
  /** @throws ApiError, EngineError, the signal's reason; or one of them in a `CutOff` */
  chat(call: ChatCall, signal: AbortSignal): Promise<BackendReply>;
  /** The version that new calls are served from. */
  currentVersion(): number;
  loadPolicy(policy: { version: number; kind: 'adapter' | 'full'; directory: string }): Promise<void>;
  setCurrent(version: number): Promise<void>;
  unloadPolicy(version: number): Promise<void>;
  /** Where the trainer computes on the same accelerator: ends what runs, frees the accelerator's memory, and holds new calls until `wake`. */
  rest?(): Promise<void>;
  wake?(): Promise<void>;
  /** Numbers for /metrics, by name (`rows_running`), where the backend has any. */
  stats?(): Promise<Readonly<Record<string, number>>>;
  health(): Promise<{ readonly ok: boolean; readonly detail: string }>;
  close(): Promise<void>;
}
