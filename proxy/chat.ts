/** POST /v1/chat/completions: identity → open steps → backend → commit → the end of the answer. */
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { StoreError } from '../store/errors.ts';
import { sourceOf, type AppContext } from './context.ts';
import { requireScope } from './auth.ts';
import { CutOff, type BackendReply, type PolicyBackend } from './backends/backend.ts';
import { parseJson, readBody } from './body.ts';
import { parseEnvelope } from './capture/call.ts';
import { namedRollout, type Identity } from './capture/identity.ts';
import type { Recorder } from './capture/recorder.ts';
import type { FailedState, Recording } from './capture/recording.ts';
import { ApiError, toApiError } from './errors.ts';
import { EventStream } from './event-stream.ts';
import { ClientGone, type CallGate, type OpenCall } from './gate.ts';
import type { PolicySwitch } from './policy-switch.ts';
import { StallWatch, type StallLimits } from './stall-watch.ts';

export interface ChatParts {
  readonly backend: PolicyBackend;
  readonly recorder: Recorder;
  readonly identity: Identity;
  readonly gate: CallGate;
  readonly policies: PolicySwitch;
  readonly maxBodyBytes: number;
  readonly stallLimits: StallLimits;
}

export async function chat(parts: ChatParts, c: AppContext): Promise<Response> {
  const source = sourceOf(c);
  requireScope(source.principal, 'agent');
  using call = parts.gate.enter(c.env.outgoing);
  const named = namedRollout(source);
  // Refused before the body is read.
  const pinnedVersion = named === null ? null : parts.identity.running(named).pinnedVersion;
  const requestBody = await readBody(c.env.incoming, parts.maxBodyBytes, call.signal);
  const envelope = parseEnvelope(parseJson(requestBody));
  if (named !== null && pinnedVersion !== null) await parts.policies.pin(pinnedVersion, named);
  const recording = await parts.recorder.begin({ source, envelope, requestBody, startedAt: call.startedAt });
  const stream = new EventStream(c.env.outgoing, recording.headers, call.signal);
  // An answer in one piece has no first token to wait for: its limit is the backend's.
  using watch = envelope.stream ? new StallWatch(parts.stallLimits, call.abort) : null;
  try {
    const reply = await parts.backend.chat({
      body: envelope.body, stream: envelope.stream, headers: c.env.incoming.headers, version: pinnedVersion, rollout: recording.rolloutId, responseId: recording.responseId,
    }, call.signal);
    return reply.kind === 'json'
      ? await sendJson(parts.backend, reply, recording, call)
      : await sendStream(parts.backend, reply, recording, stream, watch);
  } catch (error) {
    if (error instanceof CutOff) recording.capture(error.capture, parts.backend.currentVersion());
    const failure = await recordFailure(error instanceof CutOff ? error.cause : error, recording, call);
    if (!stream.hasStarted) throw failure;
    stream.fail(failure);
    return RESPONSE_ALREADY_SENT;
  }
}

async function sendJson(backend: PolicyBackend, reply: BackendReply & { kind: 'json' }, recording: Recording, call: OpenCall): Promise<Response> {
  recording.capture(reply.capture, backend.currentVersion());
  call.signal.throwIfAborted();
  const text = JSON.stringify(reply.body);
  await recording.answered(reply.body, text);
  return new Response(text, { status: reply.status, headers: { 'content-type': 'application/json', ...recording.headers } });
}

async function sendStream(backend: PolicyBackend, reply: BackendReply & { kind: 'stream' }, recording: Recording, stream: EventStream, watch: StallWatch | null): Promise<Response> {
  await reply.frames((frames) => {
    watch?.pause();
    recording.frames(frames, backend.currentVersion());
    const held = stream.send(frames);
    if (held === undefined) watch?.resume();
    return held?.finally(() => { watch?.resume(); });
  });
  watch?.pause();
  if (!recording.isWhole) throw new ApiError(502, 'The answer ended before it was complete. Send the request again.', { code: truncatedCode, type: 'upstream_error' });
  await recording.streamed();
  stream.done();
  return RESPONSE_ALREADY_SENT;
}

/** Closes the steps of a call that failed, and says what its client is told. */
async function recordFailure(error: unknown, recording: Recording, call: OpenCall): Promise<ApiError> {
  // The commit itself failed: there is nothing left to write.
  if (recording.isClosed) return toApiError(error);
  const cause: unknown = call.signal.aborted ? call.signal.reason : error;
  const failure = toApiError(cause);
  try {
    await recording.failed(closingState(cause, failure), `${failure.code ?? failure.type}: ${failure.message}`);
  } catch (unrecorded) {
    // A store that takes nothing says so by itself; the client is told of what happened to its call.
    if (!(unrecorded instanceof StoreError)) throw unrecorded;
  }
  return failure;
}

/** Backends report a stream that was cut off with this code. */
const truncatedCode = 'upstream_truncated';

function closingState(cause: unknown, failure: ApiError): FailedState {
  if (cause instanceof ClientGone) return 'client_aborted';
  return failure.code === truncatedCode ? 'truncated' : 'upstream_error';
}
