/** The grammar thread as the main thread sees it. It starts with the first grammar: most servers never need one. */
import { extname } from 'node:path';
import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads';
import type { Grammar } from '../../model/grammar.ts';
import { EngineError } from '../engine.ts';
import type { FromGrammar, GrammarThreadData, ToGrammar } from './protocol.ts';

export class GrammarThread {
  readonly #data: GrammarThreadData;
  readonly #connect: (port: MessagePort) => void;
  readonly #waiting = new Map<number, { resolve(): void; reject(error: Error): void }>();
  #worker: Worker | null = null;
  #lastId = 0;

  /** @param connect hands the engine's thread its end of the channel */
  constructor(data: GrammarThreadData, connect: (port: MessagePort) => void) {
    this.#data = data;
    this.#connect = connect;
  }

  /** Resolves when the grammar can be sampled under. @throws EngineError `invalid_grammar` where it cannot; the signal's reason */
  async prepare(grammar: Grammar, signal: AbortSignal): Promise<void> {
    const id = ++this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = () => { reject(signal.reason); };
    signal.addEventListener('abort', abort, { once: true });
    this.#waiting.set(id, { resolve, reject });
    this.#post({ type: 'compile', id, grammar });
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', abort);
      this.#waiting.delete(id);
    }
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
  }

  #post(message: ToGrammar): void {
    this.#worker ??= this.#start();
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    this.#worker.postMessage(message, message.type === 'engine' ? [message.port] : []);
  }

  #start(): Worker {
    const worker = new Worker(new URL(`./worker${extname(import.meta.url)}`, import.meta.url), { workerData: this.#data, name: 'grammar' });
    worker.on('message', (message: FromGrammar) => {
      const waiting = this.#waiting.get(message.id);
      if (message.type === 'compiled') waiting?.resolve();
      else waiting?.reject(new EngineError(message.isGrammar ? 'invalid_grammar' : 'engine_failed', message.isGrammar ? `The answer cannot be held to this schema. ${message.message}.` : message.message));
    });
    const gone = (why: string) => {
      // Choices that it was holding fail when they ask; the next grammar starts a new thread.
      if (this.#worker === worker) this.#worker = null;
      for (const waiting of this.#waiting.values()) waiting.reject(new EngineError('engine_failed', `The thread that holds grammars has ended: ${why}.`));
    };
    worker.on('error', (error) => { gone(error instanceof Error ? error.message : String(error)); });
    worker.on('exit', (code) => { gone(`exit code ${code}`); });
    const { port1, port2 } = new MessageChannel();
    this.#connect(port1);
    const toWorker: ToGrammar = { type: 'engine', port: port2 };
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    worker.postMessage(toWorker, [port2]);
    return worker;
  }
}
