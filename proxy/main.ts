/** The proxy, wired: the only file that knows all parts. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createAdaptorServer } from '@hono/node-server';
import type { Config } from '../config/schema.ts';
import { trainedModel } from '../config/trained-model.ts';
import { watchChanges } from '../store/changes.ts';
import { lookupKey } from '../store/keys.ts';
import { openDatabase, type Database } from '../store/open.ts';
import { startWriter, type StoreWriter } from '../store/writer.ts';
import { followAccelerator } from './accelerator.ts';
import { createApp } from './app.ts';
import { Auth, readKeys, refuseOpenBind } from './auth.ts';
import type { PolicyBackend } from './backends/backend.ts';
import { createBackend } from './backends/index.ts';
import { Identity } from './capture/identity.ts';
import { TrajectoryInference } from './capture/inference.ts';
import { Recorder } from './capture/recorder.ts';
import { RetryIndex } from './capture/retries.ts';
import { Trajectories } from './capture/trajectories.ts';
import { CallGate } from './gate.ts';
import { createLog, type Log } from './log.ts';
import { Metrics } from './metrics.ts';
import { PolicySwitch } from './policy-switch.ts';

export interface Proxy extends AsyncDisposable {
  /** `http://127.0.0.1:8700` */
  readonly url: string;
  readonly backend: PolicyBackend;
  /** When every call that was answered so far can be read from the database by others. */
  settled(): Promise<void>;
  /** Lets no one in any more, waits for the open calls up to `deadlineMs` (default: server.shutdownTimeoutMs), commits, and frees everything. */
  close(deadlineMs?: number): Promise<void>;
}

/** What a test, or another program, may bring of its own. */
export interface ProxyDeps {
  readonly backend?: PolicyBackend;
  readonly env?: NodeJS.ProcessEnv;
  readonly log?: Log;
}

/** How often a new promotion is looked for. */
const watchMs = 50;

/** For longer than clients and load balancers keep an idle connection (most up to a minute): who closes it first must not be the one to whom a request is under way. */
const KEEP_ALIVE_MS = 75_000;

/**
 * @throws Error with a sentence that says what to do: an open bind without keys, a data directory that cannot be used or belongs
 * to another model, a last promoted version that is missing, a port that is taken.
 */
export async function startProxy(config: Config, deps: ProxyDeps = {}): Promise<Proxy> {
  await using cleanup = new AsyncDisposableStack();
  const log = deps.log ?? createLog(config.log);
  const { server: settings } = config;
  refuseOpenBind(settings.host, settings.keys);
  const keys = readKeys(settings.keys, deps.env ?? process.env);

  const backend = deps.backend ?? await createBackend(config.backend, {
    cacheDir: join(config.dataDir, 'cache'),
    adapterTargets: config.trainer.method === 'lora' ? config.trainer.lora.targets : [],
  }, log);
  cleanup.defer(() => backend.close());
  const shutdown = new AbortController();
  /** Why calls are refused, or null. */
  let storeFailure: string | null = null;
  const { whenUnwritable, busyTimeoutMs, durability } = config.store;
  const writer = await startWriter({
    dataDir: config.dataDir, busyTimeoutMs, durability,
    onFailure: ({ message }) => {
      storeFailure = `${message} Calls are refused until the server is started again.`;
      log.error(storeFailure);
    },
    onRefused: ({ message }) => { log.error(`A recorded call could not be put into the database: ${message} From now on every call waits for its commit.`); },
    onUnwritable: (error) => {
      const consequence = whenUnwritable === 'serve' ? 'Calls are answered and not recorded' : 'Calls are refused';
      if (error === null) log.info('the database can be written again');
      else log.error(`${error.message} ${consequence} until it can be written again.`);
      storeFailure = error === null || whenUnwritable === 'serve' ? null : error.message;
    },
  });
  cleanup.defer(() => writer.close());
  const db = openDatabase(config.dataDir, { readonly: true, busyTimeoutMs });
  cleanup.defer(() => db.close());

  await recoverStore(writer, backend, log);
  const metrics = new Metrics();
  const policies = new PolicySwitch({ backend, db, metrics, log });
  await policies.sync();
  cleanup.use(followPromotions(db, policies, log));
  if (config.backend.kind === 'vllm' && config.backend.sleepWhileTraining) cleanup.use(followAccelerator({ db, writer, backend, log }));

  const gate = new CallGate(settings.maxPending);
  const trajectories = new Trajectories(db, writer);
  const inference = new TrajectoryInference();
  const identity = new Identity(trajectories, inference);
  const recorder = new Recorder({ db, writer, identity, inference, retries: new RetryIndex(), metrics, whenUnwritable });
  const auth = new Auth({ keys, findMinted: (secret) => lookupKey(db, secret) });
  const app = createApp({
    auth, backend, db, gate, identity, log, metrics, policies, recorder, trajectories, writer,
    maxBodyBytes: settings.maxBodyBytes, stallLimits: settings, trainer: config.trainer, trainedModel: trainedModel(config), shutdown: shutdown.signal,
    ready: () => (storeFailure === null ? backend.health() : Promise.resolve({ ok: false, detail: storeFailure })),
  });
  const server = createAdaptorServer({ fetch: app.fetch, createServer, hostname: settings.host }) as Server; // as `createServer` makes it
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  // A body that is too large is not asked for.
  server.on('checkContinue', (incoming, outgoing) => {
    if (!(Number(incoming.headers['content-length']) > settings.maxBodyBytes)) outgoing.writeContinue();
    server.emit('request', incoming, outgoing);
  });
  const url = await listen(server, settings.host, settings.port);
  log.info(`listening on ${url}`);

  const parts = cleanup.move();
  let closing: Promise<void> | null = null;
  const close = async (deadlineMs: number) => {
    const closed = once(server, 'close');
    server.close();
    shutdown.abort();
    await gate.close(deadlineMs);
    // Answers are out; what is still connected only keeps its connection for later.
    server.closeIdleConnections();
    const timer = setTimeout(() => server.closeAllConnections(), 500);
    await closed;
    clearTimeout(timer);
    await parts.disposeAsync();
  };
  return {
    url,
    backend,
    settled: () => writer.settled(),
    close: (deadlineMs = settings.shutdownTimeoutMs) => (closing ??= close(deadlineMs)),
    [Symbol.asyncDispose]: () => (closing ??= close(0)),
  };
}

/** What the last process left open was cut off by its end; a new directory gets its version 0, an old one must be this model's. */
async function recoverStore(writer: StoreWriter, backend: PolicyBackend, log: Log): Promise<void> {
  const [crashed] = await Promise.all([
    writer.write('markCrashed', Date.now()),
    writer.write('ensureBasePolicy', backend.fingerprint ?? null),
  ]);
  if (crashed > 0) log.info(`${crashed} steps were open when the last server ended; they are marked "crashed"`);
}

/** Serves what the trainer promotes, from when it is in the store. Ends when disposed of. */
function followPromotions(db: Database, policies: PolicySwitch, log: Log): AsyncDisposable {
  const end = new AbortController();
  const following = (async () => {
    for await (const _ of watchChanges(db, watchMs, end.signal)) await policies.follow();
  })().catch((error: unknown) => { log.error(`Watching for promotions ended: ${String(error)}. New versions are served after a restart.`); });
  return {
    async [Symbol.asyncDispose]() {
      end.abort();
      await following;
    },
  };
}

async function listen(server: Server, host: string, port: number): Promise<string> {
  server.listen(port, host);
  await once(server, 'listening');
  const address = server.address() as AddressInfo; // it listens on TCP
  return `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`;
}
