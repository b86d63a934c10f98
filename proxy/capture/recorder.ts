/** Opens a call's steps before the call goes out. Closing them is `recording.ts`. */
import { hash } from 'node:crypto';
import { newId } from '../../store/ids.ts';
import type { StoreWriter } from '../../store/writer.ts';
import type { Metrics } from '../metrics.ts';
import type { ChatEnvelope } from './call.ts';
import { namedAgent, namedRollout, type Identity, type Source } from './identity.ts';
import type { TrajectoryInference } from './inference.ts';
import { Recording } from './recording.ts';
import type { CallPosition, RetryIndex } from './retries.ts';

export interface RecorderParts {
  readonly writer: StoreWriter;
  readonly identity: Identity;
  readonly inference: TrajectoryInference;
  readonly retries: RetryIndex;
  readonly metrics: Metrics;
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

  constructor(parts: RecorderParts) {
    this.#parts = parts;
  }

  /**
   * Decides whose step this is and queues its open rows (one for each choice, under one call id).
   * @throws ApiError of `Identity`; StoreError `queue_full` before anything is sent upstream.
   */
  async begin(call: IncomingCall): Promise<Recording> {
    const { writer, identity, inference, retries, metrics } = this.#parts;
    const { source, envelope } = call;
    const named = namedRollout(source);
    const agent = namedAgent(source);
    const fingerprint = fingerprintOf(source, named, agent, call.requestBody);
    const failed = retries.take(fingerprint);
    const trajectory = named === null
      ? identity.live(failed?.rolloutId ?? null) ?? await identity.place(source, envelope.messages)
      : identity.running(named);
    const retryOf = failed?.attemptId === trajectory.attemptId ? failed : null;
    const position: CallPosition = {
      callId: newId('ca'), rolloutId: trajectory.rolloutId, attemptId: trajectory.attemptId, sequence: retryOf?.sequence ?? trajectory.nextSequence++,
    };
    if (retryOf !== null) await this.#noteRetry(position, retryOf);
    const responseId = `chatcmpl-${position.callId.slice('ca_'.length)}`;
    const createdAt = Date.now();
    const stepIds = Array.from({ length: envelope.n }, () => newId('st', createdAt));
    // Not awaited: closing these steps comes after it in the writer's order, and fails if this failed.
    void writer.write('openSteps', stepIds.map((id, choice) => ({
      id, ...position, choice, agent, parentStepId: null, dialect: 'chat', model: envelope.model, responseId,
      request: choice === 0 ? call.requestBody : null, sampling: envelope.sampling, createdAt,
    })));
    return new Recording({
      writer, metrics, trajectory, position, stepIds, responseId, startedAt: call.startedAt,
      onFailed: () => retries.failed(fingerprint, position),
      onAnswer: named !== null ? null : (answer) => {
        inference.remember(source.principal.keyHash, envelope.messages, answer, trajectory.rolloutId);
      },
    });
  }

  async #noteRetry({ callId, rolloutId, attemptId, sequence }: CallPosition, retryOf: CallPosition): Promise<void> {
    this.#parts.metrics.retries.inc();
    await this.#parts.writer.write('addEvent', { kind: 'call.retried', rolloutId, attemptId, data: { callId, retryOf: retryOf.callId, sequence } });
  }
}

/** Two calls are the same call tried again when the same caller sends the same bytes to the same place. */
function fingerprintOf({ principal }: Source, rollout: string | null, agent: string, body: Buffer): string {
  return [principal.keyHash, rollout, agent, hash('sha256', body, 'base64')].join('\n');
}
