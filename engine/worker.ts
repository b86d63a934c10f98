/** The engine's thread: takes messages in, lets the batcher work, sends out what a step produced in one message. */
import { randomInt } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { Batcher } from './batcher.ts';
import { cacheShape, MAX_PIECE } from './decode-graph.ts';
import { EngineError, type EngineOptions, type PolicyFiles } from './engine.ts';
import { Constraints } from './grammar/constraint.ts';
import { PolicyLoader, type Policy } from './policy.ts';
import { sharedNow, type Call, type Failure, type FromEngine, type RequestEvent, type ThreadData, type ToEngine } from './protocol.ts';
import { uniform } from './random.ts';

/** Without work for so long, memory that only requests need goes back to the system. */
const REST_MS = 1000;

const port = parentPort;
if (!port) throw new Error('engine/worker.ts runs in a worker thread');
// Written by startEngine.
const { options } = workerData as ThreadData;

const send = (message: FromEngine): void => { port.postMessage(message); };

/** A policy whose files were read while the batcher went on. */
interface Loaded {
  readonly type: 'loaded';
  readonly id: number;
  readonly policy: Policy;
}

/** What comes is only noted: the batcher must not change under a running step. */
const inbox: (ToEngine | Loaded)[] = [];
let wake: (() => void) | null = null;
function note(message: ToEngine | Loaded): void {
  inbox.push(message);
  wake?.();
}
port.on('message', note);

const outbox: { id: number; event: RequestEvent }[] = [];

function flush(): void {
  if (outbox.length > 0) send({ type: 'events', events: outbox.splice(0) });
}

async function serve(): Promise<void> {
  const loader = await PolicyLoader.open(options.model, options);
  const maxContext = Math.min(options.maxContext, loader.config.maxPositions);
  const batcher = new Batcher({
    base: await loader.base(),
    shape: cacheShape(loader.config),
    limits: { maxRows: options.maxRows, maxQueue: options.maxQueue, maxQueueMs: options.maxQueueMs, maxContext, chunk: MAX_PIECE, prefillBudget: MAX_PIECE },
    swap: options.swap,
    prefixCacheBytes: options.prefixCacheBytes,
    maxStallMs: options.maxStallMs,
    drawSeed: seedSource(options),
    now: sharedNow,
    emit: (id, event) => { outbox.push({ id, event }); },
  });
  send({ type: 'ready', maxContext });
  let loading = Promise.resolve(); // one after the other
  let resting: NodeJS.Timeout | undefined;
  for (;;) {
    for (let message = inbox.shift(); message; message = inbox.shift()) {
      switch (message.type) {
        case 'close': return;
        case 'generate': batcher.submit(message.id, message.request, message.submittedMs); break;
        case 'abort': batcher.abort(message.id); break;
        case 'grammars': batcher.holdTo(new Constraints(message.port, loader.config.vocabSize)); break;
        case 'call': {
          const { id, call } = message;
          if (call.method === 'loadPolicy' && !batcher.keep(call.files.version)) loading = loading.then(() => load(id, call.files, loader));
          else answer(id, call, batcher);
          break;
        }
        case 'loaded':
          if (batcher.keep(message.policy.version)) message.policy.release();
          else batcher.addPolicy(message.policy);
          send({ type: 'answer', id: message.id, stats: null });
          break;
      }
    }
    const worked = await batcher.step();
    flush();
    if (worked) {
      clearTimeout(resting);
      resting = undefined;
    } else {
      resting ??= setTimeout(() => { batcher.rest(); }, REST_MS).unref();
      if (inbox.length === 0) await new Promise<void>((resolve) => { wake = resolve; });
    }
    wake = null;
  }
}

async function load(id: number, files: PolicyFiles, loader: PolicyLoader): Promise<void> {
  try {
    note({ type: 'loaded', id, policy: await loader.load(files) });
  } catch (error) {
    send({ type: 'refused', id, error: failureOf(error) });
  }
}

function answer(id: number, call: Call, batcher: Batcher): void {
  try {
    if (call.method === 'setCurrent') batcher.setCurrent(call.version);
    if (call.method === 'unloadPolicy') batcher.retire(call.version);
    send({ type: 'answer', id, stats: call.method === 'stats' ? batcher.stats() : null });
  } catch (error) {
    send({ type: 'refused', id, error: failureOf(error) });
  }
}

function failureOf(error: unknown): Failure {
  if (error instanceof EngineError) return { code: error.code, message: error.message };
  if (error instanceof RangeError) return { code: 'out_of_memory', message: error.message };
  return { code: 'engine_failed', message: error instanceof Error ? error.message : String(error) };
}

/** Seeds for requests without one: at random, or from the engine's own seed in the order of admission. */
function seedSource({ seed }: EngineOptions): () => number {
  if (seed === undefined) return () => randomInt(2 ** 47);
  let count = 0;
  return () => Math.floor(uniform(seed, 0, count++) * 2 ** 52);
}

try {
  await serve();
} catch (error) {
  send({ type: 'broken', error: failureOf(error) });
}
port.close();
