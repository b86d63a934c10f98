/** The admin API in memory, over real HTTP: enough of a server for the commands to be tested without a model. */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';

export interface StandInRollout {
  readonly id: string;
  readonly body: { task_id?: string; mode?: string; input?: unknown };
  readonly apiKey: string;
  readonly attempts: { state: string; detail: string }[];
  readonly rewards: { name: string; kind: 'outcome' | 'intermediate'; value: number; source: string }[];
  state: string;
  detail: string | null;
}

export interface StandIn extends AsyncDisposable {
  readonly url: string;
  readonly rollouts: StandInRollout[];
  readonly promotions: number[];
  /** What the n-th requested round ends as; default `promoted`. */
  roundStates: string[];
  current: number;
}

export async function startStandIn(options: { adminKey?: string } = {}): Promise<StandIn> {
  const rollouts: StandInRollout[] = [];
  const rounds: Record<string, unknown>[] = [];
  const standIn = { rollouts, promotions: [] as number[], roundStates: [] as string[], current: 0 };

  const answer = async (method: string, path: string, request: IncomingMessage): Promise<[number, unknown] | null> => {
    const key = request.headers.authorization?.replace('Bearer ', '');
    const body = method === 'POST' ? await json(request) as Record<string, unknown> : {};
    if (path.startsWith('/admin') && options.adminKey !== undefined && key !== options.adminKey) return [401, problem('Incorrect API key provided.')];
    if (method === 'POST' && path === '/admin/rollouts') {
      const id = `ro_${rollouts.length}`;
      const rollout: StandInRollout = { id, body, apiKey: `sk-${id}`, attempts: [], rewards: [], state: 'running', detail: null };
      rollouts.push(rollout);
      return [201, { id, object: 'rollout', attempt_id: 'at_0', base_url: `/rollouts/${id}/v1`, api_key: rollout.apiKey }];
    }
    const ofRollout = /^(?:\/admin)?\/rollouts\/(\w+)(.*)$/.exec(path);
    if (ofRollout) {
      const rollout = rollouts.find((candidate) => candidate.id === ofRollout[1]);
      if (!rollout) return [404, problem(`There is no rollout ${ofRollout[1]}.`)];
      if (method === 'GET' && ofRollout[2] === '') return [200, { ...rollout }];
      if (ofRollout[2] === '/end') Object.assign(rollout, { state: body['state'], detail: body['detail'] ?? null });
      if (ofRollout[2] === '/attempts') rollout.attempts.push({ state: String(body['state']), detail: String(body['detail']) });
      if (ofRollout[2] === '/v1/rewards') {
        if (key !== rollout.apiKey) return [401, problem('Incorrect API key provided.')];
        addReward(rollout, body, 'agent');
      }
      return [200, {}];
    }
    if (method === 'POST' && path === '/v1/rewards') {
      const rollout = rollouts.find((candidate) => candidate.id === body['rollout']);
      if (!rollout) return [404, problem('There is no such rollout.')];
      addReward(rollout, body, String(body['source']));
      return [201, {}];
    }
    if (path === '/v1/models') return [200, { object: 'list', data: [{ id: 'stand-in' }] }];
    if (method === 'POST' && path === '/admin/rounds') {
      const state = standIn.roundStates[rounds.length] ?? 'promoted';
      if (state === 'promoted') standIn.current++;
      rounds.push({
        id: rounds.length + 1, state, base_version: 0, result_version: state === 'promoted' ? standIn.current : null, progress: null,
        metrics: { rewardMean: 0.5, policyKl: 0.01 }, error: state === 'failed' ? 'out of memory' : null, requested_at: 0, started_at: 0, ended_at: 1,
      });
      return [202, { id: rounds.length, state: 'requested' }];
    }
    const ofRound = /^\/admin\/rounds\/(\d+)$/.exec(path);
    if (ofRound) return [200, rounds[Number(ofRound[1]) - 1]];
    if (method === 'GET' && path === '/admin/policies') return [200, { object: 'list', data: [], next_cursor: null, current_version: standIn.current }];
    return null;
  };

  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://h').pathname;
    const respond = async () => {
      const [status, body] = await answer(request.method ?? 'GET', path, request) ?? [404, problem(`Nothing answers ${request.method} ${path}.`)];
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    };
    void respond();
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const { port } = server.address() as AddressInfo; // a TCP server has no other kind of address
  return Object.assign(standIn, {
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => { server.close(resolve); });
    },
  });
}

function addReward(rollout: StandInRollout, body: Record<string, unknown>, source: string): void {
  const name = typeof body['name'] === 'string' ? body['name'] : 'reward';
  const others = rollout.rewards.filter((reward) => reward.name !== name);
  rollout.rewards.splice(0, Infinity, ...others, { name, kind: body['kind'] === 'intermediate' ? 'intermediate' : 'outcome', value: Number(body['value']), source });
}

function problem(message: string): unknown {
  return { error: { message, type: 'invalid_request_error', param: null, code: null } };
}
