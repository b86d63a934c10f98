/** Whose step is this (DESIGN, section 5): URL, headers, a rollout's key, `traceparent`, inference, and else a live rollout of its own. */
import type { IncomingHttpHeaders } from 'node:http';
import { requireRollout, type Principal } from '../auth.ts';
import { ApiError } from '../errors.ts';
import { BoundedMap } from './bounded-map.ts';
import type { Conversation, TrajectoryInference } from './inference.ts';
import type { Trajectories, Trajectory } from './trajectories.ts';

export interface Source {
  /** From a rollout-scoped URL. */
  readonly urlRollout: string | null;
  readonly urlAgent: string | null;
  readonly headers: IncomingHttpHeaders;
  readonly principal: Principal;
}

const maxTraces = 50_000;
const maxAgentLength = 128;

/** The rollout that the caller names, or null. @throws ApiError 403 when its key is for another one. */
export function namedRollout({ urlRollout, headers, principal }: Source): string | null {
  const named = urlRollout ?? textHeader(headers, 'x-fulgurite-rollout');
  if (named !== null) requireRollout(principal, named);
  return named ?? (principal.kind === 'rollout' ? principal.rolloutId : null);
}

/** @throws ApiError 400 for a name that is too long. */
export function namedAgent({ urlAgent, headers }: Source): string {
  const agent = urlAgent ?? textHeader(headers, 'x-fulgurite-agent') ?? 'default';
  if (agent.length > maxAgentLength) throw new ApiError(400, `The agent's name has more than ${maxAgentLength} characters. Use a role's name.`, { code: 'invalid_value', param: 'agent' });
  return agent;
}

export class Identity {
  readonly #trajectories: Trajectories;
  readonly #inference: TrajectoryInference;
  /** Trace id → rollout id. */
  readonly #traces = new BoundedMap<string, string>(maxTraces);

  constructor(trajectories: Trajectories, inference: TrajectoryInference) {
    this.#trajectories = trajectories;
    this.#inference = inference;
  }

  /**
   * A rollout that calls may still join.
   * @throws ApiError 404 `unknown_rollout`, 409 `rollout_ended`.
   */
  running(rolloutId: string): Trajectory {
    const trajectory = this.#trajectories.find(rolloutId);
    if (trajectory === null) throw new ApiError(404, `There is no rollout ${rolloutId}. Create it with POST /admin/rollouts, or call /v1 without a rollout.`, { code: 'unknown_rollout' });
    if (trajectory.state !== 'running') throw new ApiError(409, `Rollout ${rolloutId} has ended (${trajectory.state}). Create another one, or another attempt before it ends.`, { code: 'rollout_ended' });
    return trajectory;
  }

  /** The trajectory of a call that names no rollout. */
  place(source: Source, conversation: Conversation): Trajectory {
    const trace = traceId(source.headers);
    const known = trace === null ? null : this.live(this.#traces.get(trace) ?? `ro_${trace}`);
    // An instrumented client that makes a new trace for every call says nothing by it: look at the messages as well.
    const inferred = known ?? this.live(this.#inference.find(conversation));
    const trajectory = inferred ?? this.#trajectories.startLive(this.#unusedId(trace));
    if (trace !== null) this.#traces.set(trace, trajectory.rolloutId);
    return trajectory;
  }

  /** A trace may outlive its rollout; its next one has an id of its own. */
  #unusedId(trace: string | null): string | undefined {
    return trace === null || this.#trajectories.find(`ro_${trace}`) !== null ? undefined : `ro_${trace}`;
  }

  /** The rollout if it is known and still running. */
  live(rolloutId: string | null): Trajectory | null {
    const trajectory = rolloutId === null ? null : this.#trajectories.find(rolloutId);
    return trajectory?.state === 'running' ? trajectory : null;
  }
}

/** W3C Trace Context, section 3.2: `00-<trace id>-<parent id>-<flags>`; an all-zero trace id is invalid. */
function traceId(headers: IncomingHttpHeaders): string | null {
  const match = /^[\da-f]{2}-([\da-f]{32})-[\da-f]{16}-[\da-f]{2}/.exec(textHeader(headers, 'traceparent') ?? '');
  const trace = match?.[1];
  return trace === undefined || /^0+$/.test(trace) ? null : trace;
}

function textHeader(headers: IncomingHttpHeaders, name: string): string | null {
  const value = headers[name];
  return typeof value === 'string' && value !== '' ? value : null;
}
