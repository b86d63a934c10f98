/** The engine from the main thread: starts the thread, hands requests over, hands events out. */
import { Worker } from 'node:worker_threads';
import { EngineError, type Engine, type EngineOptions, type EngineStats, type GenerateEvent, type GenerateRequest } from './engine.ts';
import { GrammarThread } from './grammar/thread.ts';
import { sharedNow, type Call, type Failure, type FromEngine, type ThreadData, type ToEngine } from './protocol.ts';
import { Stream } from './stream.ts';

/** V8 lets short-lived garbage grow for as long as there is room: without a limit the thread's memory would rise for hours. */
const maxYoungGenerationSizeMb = 16;

/**
 * Opens the model in a thread of its own and resolves when it can serve version 0.
 * @throws EngineError `engine_failed` when the model can't be opened
 */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const data: ThreadData = { options };
  const worker = new Worker(new URL(`./worker.${extension}`, import.meta.url), { workerData: data, name: 'engine', resourceLimits: { maxYoungGenerationSizeMb } });
  const { promise: ready, resolve, reject } = Promise.withResolvers<number>();
  const streams = new Map<number, Stream<GenerateEvent>>();
  const calls = new Map<number, { resolve(stats: EngineStats | null): void; reject(error: Error): void }>();
  const exited = new Promise<void>((done) => { worker.once('exit', () => { done(); }); });
  let failure: EngineError | null = null;
  let lastId = 0;

  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  const post = (message: ToEngine) => { worker.postMessage(message, message.type === 'grammars' ? [message.port] : []); };
  const grammars = new GrammarThread({ model: options.model, spokenSpecials: options.spokenSpecials ?? [] }, (port) => { post({ type: 'grammars', port }); });

  const breakDown = (error: EngineError) => {
    failure ??= error;
    reject(failure);
    for (const stream of streams.values()) stream.fail(failure);
    for (const call of calls.values()) call.reject(failure);
    streams.clear();
    calls.clear();
  };

  worker.on('message', (message: FromEngine) => {
    switch (message.type) {
      case 'ready': resolve(message.maxContext); break;
      case 'events':
        for (const { id, event } of message.events) {
          const stream = streams.get(id);
          if (event.type !== 'done' && event.type !== 'failed') {
            stream?.push(event);
            continue;
          }
          streams.delete(id);
          if (event.type === 'done') stream?.end();
          else stream?.fail(errorOf(event.error));
        }
        break;
      case 'answer': calls.get(message.id)?.resolve(message.stats); calls.delete(message.id); break;
      case 'refused': calls.get(message.id)?.reject(errorOf(message.error)); calls.delete(message.id); break;
      case 'broken': breakDown(errorOf(message.error)); break;
    }
  });
  worker.on('error', (error) => { breakDown(new EngineError('engine_failed', `The engine's thread died: ${error instanceof Error ? error.message : String(error)}`)); });
  worker.on('exit', (code) => { breakDown(new EngineError('engine_failed', `The engine's thread has ended (exit code ${code}).`)); });

  async function* generate(request: GenerateRequest, signal: AbortSignal): AsyncGenerator<GenerateEvent, void, void> {
    signal.throwIfAborted();
    if (request.grammar !== undefined) await grammars.prepare(request.grammar, signal);
    if (failure) throw failure;
    const id = ++lastId;
    const stream = new Stream<GenerateEvent>();
    // Whoever ends it first, reader, signal or engine: a row is never decoded for nobody.
    const release = () => {
      signal.removeEventListener('abort', abort);
      if (streams.delete(id)) post({ type: 'abort', id });
    };
    const abort = () => {
      stream.fail(signal.reason);
      release();
    };
    streams.set(id, stream);
    signal.addEventListener('abort', abort, { once: true });
    post({ type: 'generate', id, request, submittedMs: sharedNow() });
    try {
      yield* stream.values();
    } finally {
      release();
    }
  }

  const ask = (call: Call): Promise<EngineStats | null> => {
    if (failure) return Promise.reject(failure);
    const id = ++lastId;
    post({ type: 'call', id, call });
    return new Promise((resolve, reject) => { calls.set(id, { resolve, reject }); });
  };

  const maxContext = await ready;
  return {
    maxContext,
    generate,
    async loadPolicy(files) { await ask({ method: 'loadPolicy', files }); },
    async setCurrent(version) { await ask({ method: 'setCurrent', version }); },
    async unloadPolicy(version) { await ask({ method: 'unloadPolicy', version }); },
    async stats() {
      const stats = await ask({ method: 'stats' });
      if (!stats) throw new EngineError('engine_failed', 'The engine answered without statistics.');
      return stats;
    },
    async close() {
      post({ type: 'close' });
      await Promise.all([exited, grammars.close()]);
    },
  };
}

const errorOf = ({ code, message }: Failure): EngineError => new EngineError(code, message);
