/**
 * A policy backend without a model: it answers as the last user message tells it to, with ids and log-probs like an engine's.
 * A real implementation of the interface, so that everything above it runs for real.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { CutOff, eachOf, type BackendReply, type Capabilities, type CaptureDelta, type ChatCall, type Frame, type PolicyBackend } from '../../proxy/backends/backend.ts';
import { ApiError } from '../../proxy/errors.ts';

export const fakeModel = 'fake';
/** One token for each character of the answer, and this one at the end. */
export const endToken = 2;

export type Behaviour =
  | 'answer' | 'refuse' | 'hang' | 'crash' | 'fail_midstream' | 'truncate' | 'inexact' | 'mismatch' | 'nan' | 'swap' | 'slow';

interface Message { readonly role: string; readonly content?: unknown }

export class FakeBackend implements PolicyBackend {
  readonly name = 'fake';
  readonly fingerprint: string;
  readonly loaded: number[] = [];
  readonly unloaded: number[] = [];
  readonly calls: ChatCall[] = [];
  aborted = 0;
  #current = 0;
  #policies: boolean;

  constructor(options: { fingerprint?: string; policies?: boolean } = {}) {
    this.fingerprint = options.fingerprint ?? 'fake-model';
    this.#policies = options.policies ?? true;
  }

  capabilities(): Capabilities {
    return { exact: true, policies: this.#policies, tools: false, maxContext: 4096 };
  }

  models() {
    return Promise.resolve([{ id: fakeModel, created: 1, ownedBy: 'test' }]);
  }

  /** `!behaviour rest` in the last message; the answer to anything is "echo: rest". */
  async chat(call: ChatCall, signal: AbortSignal): Promise<BackendReply> {
    this.calls.push(call);
    signal.addEventListener('abort', () => { this.aborted++; }, { once: true });
    if (call.body['model'] !== fakeModel) throw new ApiError(404, `The model "${String(call.body['model'])}" does not exist here. Use "${fakeModel}".`, { code: 'model_not_found', param: 'model' });
    const messages = call.body['messages'] as readonly Message[]; // parsed by the proxy
    const { behaviour, text } = readOrder(messages);
    if (behaviour === 'refuse') throw new ApiError(400, 'The messages are longer than the context.', { code: 'context_length_exceeded', param: 'messages' });
    if (behaviour === 'crash') throw new TypeError('a bug in the backend');
    if (behaviour === 'hang') await hangAfterOneToken(promptIds(messages), signal);
    const n = typeof call.body['n'] === 'number' ? call.body['n'] : 1;
    const choices = Array.from({ length: n }, (_, choice) => `echo${choice > 0 ? choice : ''}: ${text}`);
    const prompt = promptIds(messages);
    const version = call.version ?? this.#current;
    if (call.stream) return { kind: 'stream', frames: eachOf(this.#frames({ call, behaviour, choices, prompt, version, signal })) };
    if (behaviour === 'slow') await sleep(50, undefined, { signal });
    return {
      kind: 'json', status: 200,
      body: {
        id: call.responseId, object: 'chat.completion', created: 1, model: fakeModel, vendor_field: { kept: true },
        choices: choices.map((content, index) => ({ index, message: { role: 'assistant', content }, finish_reason: 'stop' })),
        usage: { prompt_tokens: prompt.length, completion_tokens: choices.join('').length + n, total_tokens: 0 },
      },
      capture: choices.map((content, choice) => wholeChoice(behaviour, choice, content, prompt, version)),
    };
  }

  async *#frames({ call, behaviour, choices, prompt, version, signal }: StreamOrder): AsyncGenerator<Frame> {
    const chunk = (index: number, delta: object, finish: string | null) => JSON.stringify({
      id: call.responseId, object: 'chat.completion.chunk', created: 1, model: fakeModel, choices: [{ index, delta, finish_reason: finish }],
    });
    for (const [choice, content] of choices.entries()) {
      yield { data: chunk(choice, { role: 'assistant', content: '' }, null), capture: [{ choice, promptTokenIds: prompt }] };
      for (const [position, letter] of Array.from(content).entries()) {
        signal.throwIfAborted();
        if (behaviour === 'slow') await sleep(5, undefined, { signal });
        if (behaviour === 'fail_midstream' && position === 3) throw new ApiError(502, 'The engine failed.', { code: 'engine_failed', type: 'server_error' });
        if (behaviour === 'truncate' && position === 3) return;
        const at = behaviour === 'swap' && position >= 2 ? version + 1 : version;
        yield { data: chunk(choice, { content: letter }, null), capture: [{ choice, tokenIds: [idOf(letter)], logprobs: [-0.25], version: at }] };
      }
      yield { data: chunk(choice, {}, 'stop'), capture: [{ choice, tokenIds: [endToken], logprobs: [-0.5], version, finishReason: 'stop' }] };
    }
  }

  currentVersion(): number {
    return this.#current;
  }

  loadPolicy(policy: { version: number }): Promise<void> {
    this.loaded.push(policy.version);
    return Promise.resolve();
  }

  setCurrent(version: number): Promise<void> {
    this.#current = version;
    return Promise.resolve();
  }

  unloadPolicy(version: number): Promise<void> {
    this.unloaded.push(version);
    return Promise.resolve();
  }

  stats() {
    return Promise.resolve({ rows_running: 0 });
  }

  health() {
    return Promise.resolve({ ok: true, detail: 'fake' });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

async function hangAfterOneToken(promptTokenIds: Int32Array, signal: AbortSignal): Promise<void> {
  try {
    await sleep(60_000, undefined, { signal });
  } catch (error) {
    throw new CutOff([{ choice: 0, promptTokenIds, tokenIds: [5], logprobs: [-0.25] }], error);
  }
}

interface StreamOrder {
  readonly call: ChatCall;
  readonly behaviour: Behaviour;
  readonly choices: readonly string[];
  readonly prompt: Int32Array;
  readonly version: number;
  readonly signal: AbortSignal;
}

function readOrder(messages: readonly Message[]): { behaviour: Behaviour; text: string } {
  const content = String(messages.at(-1)?.content);
  const match = /^!(\w+)\s*(.*)$/s.exec(content);
  return match === null ? { behaviour: 'answer', text: content } : { behaviour: match[1] as Behaviour, text: match[2] ?? '' }; // tests write the order
}

const idOf = (letter: string): number => letter.charCodeAt(0) + 10;
const idsOf = (text: string): number[] => Array.from(text, idOf);

/** A template: every message is its letters and an end token, so a conversation's ids extend its earlier ones. */
export function promptIds(messages: readonly Message[]): Int32Array {
  return Int32Array.from(messages.flatMap((message) => [...idsOf(String(message.content)), endToken]));
}

function wholeChoice(behaviour: Behaviour, choice: number, content: string, promptTokenIds: Int32Array, version: number): CaptureDelta {
  const tokenIds = [...idsOf(content), endToken];
  const finishReason = 'stop';
  if (behaviour === 'inexact') return { choice, finishReason, quarantine: 'inexact' };
  if (behaviour === 'truncate') return { choice, promptTokenIds, tokenIds, logprobs: tokenIds.map(() => -0.25), version };
  const logprobs = tokenIds.map((_, index) => (behaviour === 'nan' && index === 1 ? Number.NaN : -0.25));
  return { choice, promptTokenIds, tokenIds, logprobs: behaviour === 'mismatch' ? logprobs.slice(1) : logprobs, version, finishReason };
}
