/** A call that is answered although it cannot be recorded, where the configuration would rather have that than no answer. */
import { newId } from '../../store/ids.ts';
import type { Metrics } from '../metrics.ts';
import { PrefixIndex } from './prefixes.ts';
import type { IncomingCall } from './recorder.ts';
import { Recording } from './recording.ts';

export function uncaptured({ envelope, startedAt }: IncomingCall, metrics: Metrics): Recording {
  const callId = newId('ca');
  const rolloutId = newId('ro');
  return new Recording({
    metrics, rolloutId, startedAt,
    trajectory: { rolloutId, attemptId: newId('at'), mode: 'live', state: 'running', pinnedVersion: null, prefixes: new PrefixIndex(), nextSequence: 0 },
    stepIds: Array.from({ length: envelope.n }, () => ''),
    responseId: `chatcmpl-${callId.slice('ca_'.length)}`,
    // No step and no rollout to refer to later.
    headers: { 'x-request-id': callId, 'x-fulgurite-captured': 'false' },
    commit() {
      metrics.uncaptured.inc();
      return Promise.resolve(false);
    },
    onFailed: () => undefined,
    onAnswer: null,
  });
}
