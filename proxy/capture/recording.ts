/** One call being recorded, from its open steps to their commit. The client sees the end of its answer after that commit. */
import type { Usage } from '../../store/schema.ts';
import type { CompleteStep } from '../../store/step-writes.ts';
import type { CaptureDelta, Frame } from '../backends/backend.ts';
import type { Metrics } from '../metrics.ts';
import { answersOfBody, answersOfChunks, parseChunk } from './answer.ts';
import { ChoiceCapture } from './choice.ts';
import type { Message } from './inference.ts';
import type { Trajectory } from './trajectories.ts';

export type FailedState = Exclude<CompleteStep['state'], 'complete'>;

export interface RecordingParts {
  /** False: the call is answered although it could not be stored. */
  readonly commit: (rows: readonly CompleteStep[]) => Promise<boolean>;
  /** By which a client can say later what it means: the rollout, and the first choice's step. */
  readonly headers: Readonly<Record<string, string>>;
  readonly metrics: Metrics;
  readonly trajectory: Trajectory;
  readonly rolloutId: string;
  /** One for each choice. */
  readonly stepIds: readonly string[];
  readonly responseId: string;
  /** `performance.now()` when the request arrived. */
  readonly startedAt: number;
  /** It failed, or its client is not told that it did not. */
  readonly onFailed: () => void;
  /** For each answer that was given to the client whole; null where nobody asks. */
  readonly onAnswer: ((answer: Message) => void) | null;
}

/** A stored stream: the `data:` payloads as the client saw them, in order, without the closing `[DONE]`. */
export interface StoredStream {
  readonly object: 'chat.completion.stream';
  readonly chunks: readonly string[];
}

export class Recording {
  readonly #parts: RecordingParts;
  readonly #choices: readonly ChoiceCapture[];
  readonly #chunks: string[] = [];
  #usage: Usage | null = null;
  #isClosed = false;
  #firstTokenMs: number | null = null;

  constructor(parts: RecordingParts) {
    this.#parts = parts;
    this.#choices = parts.stepIds.map(() => new ChoiceCapture());
  }

  get responseId(): string {
    return this.#parts.responseId;
  }

  get rolloutId(): string {
    return this.#parts.rolloutId;
  }

  get headers(): Readonly<Record<string, string>> {
    return this.#parts.headers;
  }

  capture(deltas: readonly CaptureDelta[], currentVersion: number): void {
    for (const delta of deltas) {
      if (delta.usage !== undefined) this.#usage = delta.usage;
      this.#choices[delta.choice]?.add(delta, currentVersion);
    }
  }

  /** Frames of a stream, before they are sent. */
  frames(frames: readonly Frame[], currentVersion: number): void {
    for (const { data, capture } of frames) {
      this.capture(capture, currentVersion);
      if (data === null) continue;
      this.#firstTokenMs ??= performance.now() - this.#parts.startedAt;
      this.#chunks.push(data);
    }
  }

  /** Whether its commit was tried. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Whether every choice came to its end. */
  get isWhole(): boolean {
    return this.#choices.every((choice) => choice.finishReason !== null);
  }

  /**
   * Commits a call that answered with one JSON body; a choice without a finish reason is `truncated`.
   * @throws StoreError
   */
  async answered(body: unknown, text: string): Promise<void> {
    const isStored = await this.#close({ state: null, error: null, response: text, responseId: idOf(body) });
    if (isStored) this.#deliver(answersOfBody(body));
  }

  /**
   * Commits a stream that came to its end.
   * @throws StoreError
   */
  async streamed(): Promise<void> {
    const isStored = await this.#close({ state: null, error: null, response: this.#streamText(), responseId: this.#streamId() });
    if (isStored && this.#parts.onAnswer !== null) this.#deliver(answersOfChunks(this.#chunks));
  }

  /**
   * Commits a call that failed, with what was captured until then.
   * @throws StoreError
   */
  async failed(state: FailedState, error: string): Promise<void> {
    const streaming = this.#chunks.length > 0;
    await this.#close({ state, error, response: streaming ? this.#streamText() : null, responseId: streaming ? this.#streamId() : null });
  }

  async #close(end: { state: FailedState | null; error: string | null; response: string | null; responseId: string | null }): Promise<boolean> {
    const { metrics, startedAt, onFailed } = this.#parts;
    this.#isClosed = true;
    const answeredAt = performance.now();
    const rows = this.#choices.map((choice, index): CompleteStep => {
      const state = end.state ?? (choice.finishReason === null ? 'truncated' : 'complete');
      return {
        ...this.#captured(choice, index, state),
        state,
        responseId: end.responseId,
        response: index === 0 ? end.response : null,
        firstTokenMs: this.#firstTokenMs,
        totalMs: answeredAt - startedAt,
        error: end.error,
        endedAt: Date.now(),
      };
    });
    if (rows.some((row) => row.state !== 'complete')) onFailed();
    let isStored;
    try {
      isStored = await this.#parts.commit(rows);
    } catch (error) {
      onFailed();
      throw error;
    }
    metrics.commit.observe((performance.now() - answeredAt) / 1000);
    if (isStored) this.#settle(rows);
    return isStored;
  }

  #captured(choice: ChoiceCapture, index: number, state: CompleteStep['state']) {
    const { trajectory, stepIds } = this.#parts;
    return {
      id: stepIds[index] ?? '',
      parentStepId: choice.promptIds === null ? null : trajectory.prefixes.longest(choice.promptIds),
      promptIds: choice.promptIds,
      completionIds: choice.completionIds.length === 0 ? null : Int32Array.from(choice.completionIds),
      logprobs: choice.logprobs.length === 0 ? null : Float32Array.from(choice.logprobs),
      versionSpans: choice.versionSpans.length === 0 ? null : choice.versionSpans,
      finishReason: choice.finishReason,
      usage: this.#usageOf(choice),
      queueMs: choice.queueMs,
      // What was cut off says so by its state; the reason is for steps that would be trained on otherwise.
      quarantineReason: state === 'complete' ? choice.quarantineReason() : null,
    };
  }

  /** By the ids where they are known; else what the backend counted, which for one choice is the choice's own. */
  #usageOf(choice: ChoiceCapture): Usage | null {
    if (choice.promptIds !== null) return { promptTokens: choice.promptIds.length, completionTokens: choice.completionIds.length };
    return this.#choices.length === 1 ? this.#usage : null;
  }

  /** After the commit: later calls may find these steps, and the counters move. */
  #settle(rows: readonly CompleteStep[]): void {
    const { metrics, trajectory } = this.#parts;
    rows.forEach((row, index) => {
      if (row.state === 'complete' && row.promptIds !== null) trajectory.prefixes.add(row.id, row.promptIds, row.completionIds ?? new Int32Array());
      metrics.calls.inc({ state: row.state, mode: trajectory.mode });
      if (row.quarantineReason !== null) metrics.quarantined.inc({ reason: row.quarantineReason });
      if (index === 0) metrics.tokens.inc({ kind: 'prompt' }, row.usage?.promptTokens ?? 0);
      metrics.tokens.inc({ kind: 'completion' }, row.usage?.completionTokens ?? 0);
    });
    metrics.duration.observe((rows[0]?.totalMs ?? 0) / 1000);
    if (this.#firstTokenMs !== null) metrics.firstToken.observe(this.#firstTokenMs / 1000);
  }

  #deliver(answers: ReadonlyMap<number, Message>): void {
    const { onAnswer } = this.#parts;
    if (onAnswer !== null) for (const answer of answers.values()) onAnswer(answer);
  }

  #streamText(): string {
    return JSON.stringify({ object: 'chat.completion.stream', chunks: this.#chunks } satisfies StoredStream);
  }

  #streamId(): string | null {
    const first = this.#chunks[0];
    return first === undefined ? null : idOf(parseChunk(first));
  }
}

function idOf(body: unknown): string | null {
  return typeof body === 'object' && body !== null && 'id' in body && typeof body.id === 'string' ? body.id : null;
}
