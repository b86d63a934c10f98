/** The admin API as the commands use it (DESIGN, section 6). */
import type { CreatedRollout, Page } from '../../proxy/admin/wire.ts';
import { type Connection, json, request } from './http.ts';
import { RunError } from '../failure.ts';
import { serverEvents } from './events.ts';

export const rolloutModes = ['train', 'val', 'live'] as const;
export type RolloutMode = (typeof rolloutModes)[number];
export type EndState = 'succeeded' | 'failed' | 'timed_out' | 'cancelled';

export interface PolicyRow {
  readonly version: number;
  readonly kind: 'base' | 'adapter' | 'full';
  readonly state: string;
  readonly parent_version: number | null;
  readonly round_id: number | null;
  readonly created_at: number;
}
export interface PolicyList extends Page<PolicyRow> {
  /** The version that new calls are served from. */
  readonly current_version: number;
}

export interface RoundRow {
  readonly id: number;
  readonly state: 'requested' | 'running' | 'published' | 'promoted' | 'rejected' | 'empty' | 'failed';
  readonly base_version: number | null;
  readonly result_version: number | null;
  readonly progress: { readonly phase: string; readonly done: number; readonly total: number } | null;
  readonly metrics: Readonly<Record<string, number>> | null;
  readonly error: string | null;
  readonly requested_at: number;
  readonly started_at: number | null;
  readonly ended_at: number | null;
}

export interface RewardRow {
  readonly name: string;
  readonly kind: 'outcome' | 'intermediate';
  readonly value: number;
  readonly source: string;
}

export class AdminClient {
  readonly connection: Connection;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  createRollout(body: { task_id: string; mode: RolloutMode; input: unknown; version?: number }, signal?: AbortSignal): Promise<CreatedRollout> {
    return json(this.connection, '/admin/rollouts', { method: 'POST', body, signal });
  }

  /** Ends the running attempt and starts the next. */
  async newAttempt(rollout: string, ended: { state: EndState; detail: string }): Promise<void> {
    await json(this.connection, `/admin/rollouts/${rollout}/attempts`, { method: 'POST', body: ended });
  }

  async endRollout(rollout: string, ended: { state: EndState; detail?: string }): Promise<void> {
    await json(this.connection, `/admin/rollouts/${rollout}/end`, { method: 'POST', body: ended });
  }

  /** The rewards that a rollout has by now, its steps' included. */
  async rewards(rollout: string): Promise<readonly RewardRow[]> {
    const { rewards } = await json<{ rewards: readonly RewardRow[] }>(this.connection, `/admin/rollouts/${rollout}`);
    return rewards;
  }

  async giveReward(rollout: string, value: number, source: 'command' | 'exit_status'): Promise<void> {
    await json(this.connection, '/v1/rewards', { method: 'POST', body: { rollout, value, source } });
  }

  /** The name to ask for: the server's first model. */
  async servedModel(): Promise<string> {
    const { data } = await json<{ data: readonly { id: string }[] }>(this.connection, '/v1/models');
    const [first] = data;
    if (!first) throw new RunError('The server has no model.');
    return first.id;
  }

  startRound(body: { promote?: boolean; seed?: number }): Promise<{ readonly id: number }> {
    return json(this.connection, '/admin/rounds', { method: 'POST', body });
  }

  round(id: number, signal?: AbortSignal): Promise<RoundRow> {
    return json(this.connection, `/admin/rounds/${id}`, { signal });
  }

  rounds(limit: number): Promise<Page<RoundRow>> {
    return json(this.connection, `/admin/rounds?limit=${limit}`);
  }

  /** The round's row after every change, the finished one last. Ends early when the stream is cut. */
  async *roundEvents(id: number, signal: AbortSignal): AsyncGenerator<RoundRow> {
    const response = await request(this.connection, `/admin/rounds/${id}/events`, { accept: 'text/event-stream', signal });
    if (!response.body) return;
    for await (const event of serverEvents(response.body)) yield JSON.parse(event.data) as RoundRow; // the server's own row
  }

  policies(): Promise<PolicyList> {
    return json(this.connection, '/admin/policies');
  }

  promote(version: number): Promise<{ readonly version: number }> {
    return json(this.connection, `/admin/policies/${version}/promote`, { method: 'POST', body: {} });
  }

  rollback(): Promise<{ readonly version: number }> {
    return json(this.connection, '/admin/policies/rollback', { method: 'POST', body: {} });
  }
}
