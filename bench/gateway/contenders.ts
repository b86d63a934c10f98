/** What stands in front of the upstream: nothing, nginx, ours, and other gateways where they are installed. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, startOurs, startProgram, type Server } from '../server.ts';
import { MODEL } from './exchange.ts';

/** The programs of other gateways; null where there is none. */
export interface Programs {
  readonly nginx: string | null;
  readonly litellm: string | null;
  /** A Python with the package `agentlightning`. */
  readonly agentLightning: string | null;
}

export interface Upstream extends AsyncDisposable { readonly url: string }

export async function startUpstream(): Promise<Upstream> {
  const child = fork(join(import.meta.dirname, 'upstream.ts'), { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
  if (child.stdout === null) throw new Error('its stdout is a pipe');
  const [line] = await once(child.stdout.setEncoding('utf8'), 'data') as [string]; // the first thing that it prints
  return {
    url: `http://127.0.0.1:${line.trim()}`,
    async [Symbol.asyncDispose]() {
      const exit = once(child, 'exit');
      child.kill();
      await exit;
    },
  };
}

/** Nothing in between. */
export const direct = ({ url }: Upstream): Server => ({ url, readyMs: 0, memoryMb: () => Promise.resolve(0), cpuSeconds: () => Promise.resolve(0), [Symbol.asyncDispose]: () => Promise.resolve() });

/** As it is installed, capture on, no embedded model. */
export function startGateway(upstream: Upstream, dataDir: string): Promise<Server> {
  return startOurs({ 'trainer.enabled': 'false', dataDir, 'backend.kind': 'openai', 'backend.baseUrl': `${upstream.url}/v1` }, 'built');
}

/** One worker process, kept connections, no log, no buffering of streams. */
export async function startNginx(program: string, upstream: Upstream, directory: string): Promise<Server> {
  const port = await freePort();
  mkdirSync(directory);
  const config = join(directory, 'nginx.conf');
  writeFileSync(config, `
daemon off; worker_processes 1; pid ${directory}/pid; error_log stderr crit;
events { worker_connections 2048; }
http {
  access_log off; keepalive_requests 1000000000; client_body_temp_path ${directory}; proxy_temp_path ${directory};
  fastcgi_temp_path ${directory}; uwsgi_temp_path ${directory}; scgi_temp_path ${directory};
  upstream model { server ${new URL(upstream.url).host}; keepalive 512; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port};
    location / { proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }
  }
}
`);
  return startProgram(program, ['-c', config, '-e', 'stderr', '-p', directory], { port, readyPath: '/v1/models' });
}

/** LiteLLM's proxy as its documentation starts it, one worker. */
export async function startLiteLlm(program: string, upstream: Upstream, directory: string): Promise<Server> {
  const port = await freePort();
  mkdirSync(directory);
  const config = join(directory, 'config.json');
  writeFileSync(config, JSON.stringify({
    model_list: [{ model_name: MODEL, litellm_params: { model: `openai/${MODEL}`, api_base: `${upstream.url}/v1`, api_key: 'none' } }],
  }));
  return startProgram(program, ['--config', config, '--host', '127.0.0.1', '--port', String(port)], { port, readyPath: '/health/liveliness', cwd: directory, env: { ...process.env, LITELLM_LOCAL_MODEL_COST_MAP: 'True', LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY: 'true' } });
}

/** Agent Lightning's server, one rollout: its events stay in memory. */
export async function startAgentLightning(python: string, upstream: Upstream, directory: string): Promise<Server> {
  const port = await freePort();
  mkdirSync(directory);
  const server = await startProgram(python, ['-m', 'agentlightning.server', 'host=127.0.0.1', `port=${port}`, `default_proxy.model_name=${MODEL}`, `hydra.run.dir=${directory}`], { port, readyPath: '/healthz', cwd: directory });
  const post = async (path: string, body: unknown) => {
    const reply = await fetch(server.url + path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
    if (!reply.ok) throw new Error(`Agent Lightning's server refused ${path}: ${await reply.text()}`);
  };
  await post('/api/models', [{ model: MODEL, endpoint: `${upstream.url}/v1` }]);
  await post('/api/rollouts', [{ rollout_id: 'bench', input: {}, is_train: true }]);
  return { ...server, url: `${server.url}/proxy/rollout/bench/attempt/1/mode/train/openai` };
}
