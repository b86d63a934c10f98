/** Opens a call's steps before the call goes out. Closing them is `recording.ts`. */
import { StoreError, unwritable } from '../../store/errors.ts';
import { newId } from '../../store/ids.ts';
import type { Database } from '../../store/open.ts';
import type { CompleteStep } from '../../store/step-writes.ts';
import type { StoreWriter } from '../../store/writer.ts';
import type { Metrics } from '../metrics.ts';
import type { ChatEnvelope } from './call.ts';
import { namedAgent, namedRollout, type Identity, type Source } from './identity.ts';
import { conversationOf, type TrajectoryInference } from './inference.ts';
import { recordedCall } from './recorded-call.ts';
import { Recording, type RecordingParts } from './recording.ts';
import { marksOf, type CallPosition, type Retried, type RetryIndex } from './retries.ts';
import type { Trajectory } from './trajectories.ts';
import { uncaptured } from './uncaptured.ts';

export interface RecorderParts {
  readonly db: Database;
  readonly writer: StoreWriter;
  readonly identity: Identity;
  readonly inference: TrajectoryInference;
  readonly retries: RetryIndex;
  readonly metrics: Metrics;
  /** What calls get while the database cannot be written. */
  readonly whenUnwritable: 'refuse' | 'serve';
}

export interface IncomingCall {
  readonly source: Source;
  readonly envelope: ChatEnvelope;
  /** The body's bytes, kept as they came. */
  readonly requestBody: Buffer;
  /** `performance.now()` when the request arrived. */
  readonly startedAt: number;
}

export class Recorder {
  readonly #parts: RecorderParts;
  /** At most as many as can be open at once: while nothing can be written, no call gets as far. */
  readonly #abandoned: string[] = [];

  constructor(parts: RecorderParts) {
    this.#parts = parts;
  }

  /**
   * Decides whose step this is and queues its open rows (one for each choice, under one call id).
   * @throws ApiError of `Identity`; StoreError before anything is sent upstream: `queue_full`, or why nothing can be written.
   */
  async begin(call: IncomingCall): Promise<Recording> {
    try {
      return await this.#open(call);
    } catch (error) {
      if (!this.#servesUncaptured(error)) throw error;
      return uncaptured(call, this.#parts.metrics);
    }
  }

  async #open(call: IncomingCall): Promise<Recording> {
    const { writer, identity, retries, metrics } = this.#parts;
    const { source, envelope } = call;
    const named = namedRollout(source);
    const agent = namedAgent(source);
    const marks = marksOf(source, named, agent, call.requestBody);
    const earlier = retries.take(marks);
    const { trajectory, onAnswer } = named === null ? this.#infer(call, earlier) : { trajectory: identity.running(named), onAnswer: null };
    const remembered = earlier?.position.attemptId === trajectory.attemptId ? earlier : null;
    const retried = remembered ?? (marks.saysRetry ? await this.#recorded(call, trajectory, agent) : null);
    const position: CallPosition = {
      callId: newId('ca'), rolloutId: trajectory.rolloutId, attemptId: trajectory.attemptId, sequence: retried?.position.sequence ?? trajectory.nextSequence++,
    };
    if (retried !== null) await this.#noteRetry(position, retried);
    retries.began(marks, position);
    const responseId = `chatcmpl-${position.callId.slice('ca_'.length)}`;
    const createdAt = Date.now();
    const stepIds = Array.from({ length: envelope.n }, () => newId('st', createdAt));
    // Not awaited: closing these steps comes after it in the writer's order, and fails if this failed.
    const opened = writer.record('openSteps', stepIds.map((id, choice) => ({
      id, ...position, choice, agent, parentStepId: null, dialect: 'chat', model: envelope.model, responseId,
      request: choice === 0 ? call.requestBody : null, sampling: envelope.sampling, createdAt,
    })));
    // While nothing can be written, no policy is asked for an answer that would be withheld.
    if (writer.stats().unwritable !== null) await opened;
    return new Recording({
      metrics, trajectory, stepIds, responseId, rolloutId: position.rolloutId, startedAt: call.startedAt,
      headers: { 'x-request-id': position.callId, 'x-fulgurite-rollout': position.rolloutId, 'x-fulgurite-step': stepIds[0] ?? '' },
      commit: (rows) => this.#commit(rows),
      onFailed: () => retries.failed(marks, position),
      onAnswer,
    });
  }

  async #recorded({ requestBody }: IncomingCall, trajectory: Trajectory, agent: string): Promise<Retried | null> {
    const { db, writer } = this.#parts;
    await writer.settled();
    return recordedCall(db, trajectory, agent, requestBody);
  }

  /** The trajectory of a call that names none; its answer will tell where the next one belongs. */
  #infer({ source, envelope }: IncomingCall, earlier: Retried | null): Pick<RecordingParts, 'trajectory' | 'onAnswer'> {
    const { identity, inference } = this.#parts;
    const conversation = conversationOf(source.principal.keyHash, envelope.messages);
    const trajectory = identity.live(earlier?.position.rolloutId ?? null) ?? identity.place(source, conversation);
    return { trajectory, onAnswer: (answer) => { inference.remember(conversation, answer, trajectory.rolloutId); } };
  }

  async #commit(rows: readonly CompleteStep[]): Promise<boolean> {
    const { writer, metrics } = this.#parts;
    try {
      await writer.record('completeSteps', rows);
      if (this.#abandoned.length > 0) void this.#closeAbandoned();
      return true;
    } catch (error) {
      if (!isUnwritable(error)) throw error;
      for (const { id } of rows) this.#abandoned.push(id);
      if (!this.#servesUncaptured(error)) throw error;
      metrics.uncaptured.inc();
      return false;
    }
  }

  /** What was opened before the database could not be written, and ended meanwhile, would stay open until the next start. */
  async #closeAbandoned(): Promise<void> {
    const ids = this.#abandoned.splice(0);
    try {
      await this.#parts.writer.write('abandonSteps', { ids, error: 'unwritable: The database could not be written when the call ended.', at: Date.now() });
    } catch {
      this.#abandoned.push(...ids); // the next commit tries again
    }
  }

  #servesUncaptured(error: unknown): boolean {
    return this.#parts.whenUnwritable === 'serve' && isUnwritable(error);
  }

  async #noteRetry({ callId, rolloutId, attemptId, sequence }: CallPosition, { position: { callId: retryOf }, mayBeWhole }: Retried): Promise<void> {
    const { metrics, writer } = this.#parts;
    metrics.retries.inc();
    await Promise.all([
      writer.write('addEvent', { kind: 'call.retried', rolloutId, attemptId, data: { callId, retryOf, sequence } }),
      ...(mayBeWhole ? [writer.write('supersedeCall', retryOf)] : []),
    ]);
  }
}

const isUnwritable = (error: unknown): boolean => error instanceof StoreError && unwritable.has(error.code);
