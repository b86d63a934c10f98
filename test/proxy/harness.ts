/** A whole proxy over real HTTP and real SQLite, with a fake backend, in a directory of its own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { configSchema, type Config } from '../../config/schema.ts';
import { createLog } from '../../proxy/log.ts';
import { startProxy, type Proxy } from '../../proxy/main.ts';
import { openDatabase, type Database } from '../../store/open.ts';
import { listSteps, getStep, type Step } from '../../store/steps.ts';
import { FakeBackend } from './fake-backend.ts';

export interface Harness extends AsyncDisposable {
  readonly url: string;
  readonly dataDir: string;
  readonly backend: FakeBackend;
  readonly proxy: Proxy;
  /** A second, reading connection. */
  readonly db: Database;
  readonly log: string[];
  /** Every step, oldest first, decoded. */
  steps(): Promise<Step[]>;
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Response>;
  get(path: string, headers?: Record<string, string>): Promise<Response>;
  /** A call whose last message is `content`. */
  chat(content: string, more?: Record<string, unknown>, path?: string, headers?: Record<string, string>): Promise<Response>;
}

export interface HarnessOptions {
  readonly dataDir?: string;
  readonly backend?: FakeBackend;
  readonly server?: Record<string, unknown>;
  readonly store?: Record<string, unknown>;
  readonly env?: NodeJS.ProcessEnv;
  /** Whether the configuration says where the policy's weights are. Default: true. */
  readonly hasWeights?: boolean;
}

/** Nothing connects to its backend where a fake one is given. */
export function testConfig(dataDir: string, server: Record<string, unknown> = {}, store: Record<string, unknown> = {}, hasWeights = true): Config {
  const backend = { kind: 'vllm', baseUrls: ['http://127.0.0.1:9/v1'], ...(hasWeights ? { model: 'fake-model' } : {}) };
  return configSchema.parse({ dataDir, server: { port: 0, ...server }, store, backend });
}

export function tempDir(): string {
  return mkdtempSync(join(tmpdir(), 'fulgurite-proxy-'));
}

export async function startHarness(options: HarnessOptions = {}): Promise<Harness> {
  const dataDir = options.dataDir ?? tempDir();
  const backend = options.backend ?? new FakeBackend();
  const log: string[] = [];
  const proxy = await startProxy(testConfig(dataDir, options.server, options.store, options.hasWeights), {
    backend, env: options.env ?? {}, log: createLog('info', (line) => log.push(line)),
  });
  const db = openDatabase(dataDir, { readonly: true });
  const post = (path: string, body: unknown, headers: Record<string, string> = {}) => fetch(proxy.url + path, {
    method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body), headers: { 'content-type': 'application/json', ...headers },
  });
  return {
    url: proxy.url, dataDir, backend, proxy, db, log, post,
    async steps() {
      await proxy.settled();
      return listSteps(db, { order: 'oldest', limit: 10_000 }).items.map(({ id }) => getStep(db, id)).filter((step) => step !== undefined);
    },
    get: (path, headers = {}) => fetch(proxy.url + path, { headers }),
    chat: (content, more = {}, path = '/v1/chat/completions', headers = {}) =>
      post(path, { model: 'fake', messages: [{ role: 'user', content }], ...more }, headers),
    async [Symbol.asyncDispose]() {
      db.close();
      await proxy.close(0);
      if (options.dataDir === undefined) rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

/** The `data:` payloads of a stream. */
export async function events(response: Response): Promise<string[]> {
  return (await response.text()).split('\n\n').filter((event) => event !== '').map((event) => event.replace(/^data: /, ''));
}

export async function until(condition: () => boolean | Promise<boolean>, timeoutMs = 5000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!await condition()) {
    if (Date.now() > deadline) throw new Error('the condition did not come true in time');
    await new Promise((resolve) => { setTimeout(resolve, 5); });
  }
}
