/** Messages → prompt token ids, in a thread of its own. */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { ChatMessage } from '../../../model/chat/template.ts';
import { ApiError } from '../../errors.ts';
import type { SampledHistory } from './continuation.ts';

/** Where tokenizer and template are read from, as `openText` takes it. */
export interface TextSource {
  readonly model: string;
  readonly chatTemplatePath: string | undefined;
}

export interface Prompt {
  readonly messages: readonly ChatMessage[];
  /** OpenAI tool definitions. */
  readonly tools: readonly unknown[];
  readonly variables: Readonly<Record<string, unknown>>;
  readonly addGenerationPrompt: boolean;
  readonly continueFinalMessage: boolean;
  /** What of it is known as ids. */
  readonly sampled: SampledHistory | null;
}

export interface PromptJob extends Prompt {
  readonly id: number;
}

export type FromPrompts =
  | { readonly type: 'ready' }
  | { readonly type: 'encoded'; readonly id: number; readonly ids: Int32Array }
  | { readonly type: 'failed'; readonly id: number; readonly message: string; readonly byTemplate: boolean };

interface Waiting {
  resolve(ids: Int32Array): void;
  reject(error: unknown): void;
}

export class PromptEncoder {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  readonly #ready = Promise.withResolvers<void>();
  #broken: Error | null = null;
  #lastId = 0;

  /** Starts the thread; resolves when it has read the model's tokenizer and template. @throws what reading them throws */
  static async start(source: TextSource): Promise<PromptEncoder> {
    const encoder = new PromptEncoder(source);
    await encoder.#ready.promise;
    return encoder;
  }

  private constructor(source: TextSource) {
    this.#worker = new Worker(new URL(`./prompt-worker${extname(import.meta.url)}`, import.meta.url), { workerData: source, name: 'prompts' });
    this.#worker.on('message', (message: FromPrompts) => { this.#receive(message); });
    this.#worker.on('error', (error) => { this.#break(error instanceof Error ? error : new Error(String(error))); });
    this.#worker.on('exit', () => { this.#break(new Error('The thread that encodes prompts has ended.')); });
  }

  /** @throws ApiError 400 with the template's own message where it refuses the messages; the signal's reason */
  encode(prompt: Prompt, signal: AbortSignal): Promise<Int32Array> {
    signal.throwIfAborted();
    if (this.#broken !== null) throw this.#broken;
    const id = ++this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<Int32Array>();
    const abort = () => {
      this.#waiting.delete(id);
      reject(signal.reason);
    };
    signal.addEventListener('abort', abort, { once: true });
    this.#waiting.set(id, { resolve, reject });
    this.#worker.postMessage({ id, ...prompt } satisfies PromptJob, []);
    return promise.finally(() => { signal.removeEventListener('abort', abort); });
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #receive(message: FromPrompts): void {
    if (message.type === 'ready') {
      this.#ready.resolve();
      return;
    }
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.type === 'encoded') waiting?.resolve(message.ids);
    else waiting?.reject(failure(message));
  }

  #break(error: Error): void {
    this.#broken ??= error;
    this.#ready.reject(this.#broken);
    for (const waiting of this.#waiting.values()) waiting.reject(this.#broken);
    this.#waiting.clear();
  }
}

function failure({ message, byTemplate }: Extract<FromPrompts, { type: 'failed' }>): Error {
  return byTemplate
    ? new ApiError(400, `The model's chat template does not take these messages: ${message}`, { code: 'chat_template_error', param: 'messages' })
    : new Error(message);
}
