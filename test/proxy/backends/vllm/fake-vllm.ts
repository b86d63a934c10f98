/**
 * A server that answers as vLLM was recorded to (test/fixtures/vllm, `lora_*` for adapters), with faults on demand. Over real HTTP; what it loads
 * it reads from the disk, and its token ids say which weights were used.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { bodyOf, exchange } from '../fixture-server.ts';

export type Fault =
  | { readonly kind: 'reset' }
  | { readonly kind: 'status'; readonly status: number; readonly message: string }
  /** Nothing comes until the client goes. */
  | { readonly kind: 'hang' };

export interface Asked {
  readonly path: string;
  readonly body: Record<string, unknown>;
}

const base = 'smollm2';
/** Tokens of an answer; each is `100 × weights + position`. */
export const answerLength = 6;
export const tokensOf = (weights: number): number[] => Array.from({ length: answerLength }, (_, position) => weights * 100 + position);

interface Choice { index: number; token_ids: number[] | null; logprobs: { content: object[] } | null; finish_reason: string | null }

export class FakeVllm implements AsyncDisposable {
  /** Every request that came, in order, health checks left out. */
  readonly asked: Asked[] = [];
  /** Name → weights. */
  readonly adapters = new Map<string, number>();
  /** Asked before each request is answered. */
  fault: (asked: Asked) => Fault | null = () => null;
  /** Streams wait for this in their middle, and so do loads before they are done. */
  held: Promise<void> = Promise.resolve();
  isWell = true;
  sleepLevel = 0;
  open = 0;
  #server: Server;
  readonly #port: number;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.#port = port;
  }

  static async start(): Promise<FakeVllm> {
    const server = createServer();
    const fake = new FakeVllm(server, await listening(server, 0));
    fake.#answerFrom(server);
    return fake;
  }

  get baseUrl(): string {
    return `http://127.0.0.1:${this.#port}/v1`;
  }

  get chats(): readonly Asked[] {
    return this.asked.filter(({ path, body }) => path === '/v1/chat/completions' && body['max_tokens'] !== 1);
  }

  /** Ends as a killed process does. */
  async kill(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  /** Comes back with the base model alone. */
  async restart(): Promise<void> {
    this.adapters.clear();
    this.#server = createServer();
    await listening(this.#server, this.#port);
    this.#answerFrom(this.#server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#server.listening) await this.kill();
  }

  #answerFrom(server: Server): void {
    server.on('request', (incoming: IncomingMessage, outgoing: ServerResponse) => {
      this.open++;
      outgoing.once('close', () => { this.open--; });
      this.#handle(incoming, outgoing).catch((error: unknown) => { outgoing.destroy(error instanceof Error ? error : new Error(String(error))); });
    });
  }

  async #handle(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const body = await readJson(incoming);
    const asked = { path: incoming.url ?? '', body };
    const fault = this.fault(asked);
    if (asked.path !== '/health' && asked.path !== '/v1/models') this.asked.push(asked);
    if (fault?.kind === 'reset') return void outgoing.destroy();
    if (fault?.kind === 'hang') return void await once(outgoing, 'close');
    if (fault?.kind === 'status') return json(outgoing, fault.status, { error: { message: fault.message, type: 'InternalServerError', param: null, code: fault.status } });
    switch (asked.path.replace(/\?.*/, '')) {
      case '/health': return void outgoing.writeHead(this.isWell ? 200 : 503).end();
      case '/v1/models': return json(outgoing, 200, this.#models());
      case '/v1/load_lora_adapter': return this.#load(outgoing, body);
      case '/v1/unload_lora_adapter': return this.#unload(outgoing, body);
      case '/v1/chat/completions': return this.#chat(outgoing, body);
      case '/sleep': this.sleepLevel = Number(new URL(asked.path, this.baseUrl).searchParams.get('level') ?? 1); return json(outgoing, 200, { status: 'sleeping', level: this.sleepLevel });
      case '/wake_up': this.sleepLevel = 0; return json(outgoing, 200, { status: 'awake', tags: null });
      default: return json(outgoing, 404, { detail: 'Not Found' });
    }
  }

  #models(): unknown {
    const listed = bodyOf(exchange('vllm/models_with_lora'))['data'] as [object, object]; // as it was recorded: the base and one adapter
    return { object: 'list', data: [listed[0], ...[...this.adapters.keys()].map((id) => ({ ...listed[1], id }))] };
  }

  async #load(outgoing: ServerResponse, body: Record<string, unknown>): Promise<void> {
    const name = String(body['lora_name']);
    if (this.adapters.has(name)) return replay(outgoing, 'lora_load_again_same_name', 'pol-v1', name);
    await this.held;
    let weights;
    try {
      weights = Number(readFileSync(join(String(body['lora_path']), 'adapter_model.safetensors'), 'utf8'));
    } catch {
      return replay(outgoing, 'lora_load_missing_path', 'lora x', `lora ${name}`);
    }
    this.adapters.set(name, weights);
    return replay(outgoing, 'lora_load_ok', 'pol-v1', name);
  }

  #unload(outgoing: ServerResponse, body: Record<string, unknown>): void {
    const name = String(body['lora_name']);
    if (!this.adapters.delete(name)) return replay(outgoing, 'lora_unload_unknown', 'zzz', name);
    return replay(outgoing, 'lora_unload_ok', 'pol-v1', name);
  }

  async #chat(outgoing: ServerResponse, body: Record<string, unknown>): Promise<void> {
    const model = String(body['model']);
    const weights = model === base ? 0 : this.adapters.get(model);
    if (weights === undefined) return replay(outgoing, 'err_bad_model', 'nope', model);
    // A probe: whatever one token was recorded.
    if (body['max_tokens'] === 1) return json(outgoing, 200, probed(body));
    const ids = tokensOf(weights);
    if (body['stream'] === true) return this.#stream(outgoing, model, ids, body);
    await this.held;
    const answer = bodyOf(exchange('vllm/chat_ids_toplogprobs0'));
    const [choice] = answer['choices'] as [Choice]; // one was asked for when it was recorded
    const logprobs = { content: ids.map(entry) };
    const usage = { prompt_tokens: 34, total_tokens: 34 + ids.length, completion_tokens: ids.length };
    return json(outgoing, 200, { ...answer, model, choices: [{ ...choice, token_ids: ids, logprobs, finish_reason: 'stop' }], usage });
  }

  async #stream(outgoing: ServerResponse, model: string, ids: readonly number[], body: Record<string, unknown>): Promise<void> {
    const [role, token] = recordedChunks();
    const pace = Number(body['pace_ms'] ?? 0);
    outgoing.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    const send = (chunk: object): void => { outgoing.write(`data: ${JSON.stringify({ ...chunk, model })}\n\n`); };
    send(role);
    for (const [position, id] of ids.entries()) {
      if (position === 2) await this.held;
      if (pace > 0) await sleep(pace);
      if (outgoing.destroyed) return;
      const isLast = position === ids.length - 1;
      send({ ...token, choices: [{ index: 0, delta: { content: `${id} ` }, logprobs: { content: [entry(id)] }, finish_reason: isLast ? 'stop' : null, token_ids: [id] }] });
    }
    outgoing.end('data: [DONE]\n\n');
  }
}

async function listening(server: Server, port: number): Promise<number> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port; // of a TCP server
}

const entry = (id: number) => ({ token: `${id} `, logprob: -0.25, bytes: [...Buffer.from(`${id} `)], top_logprobs: [] });

/** The first two chunks of a recorded stream: the role with the prompt's ids, and a token. */
function recordedChunks(): [object, object] {
  const events = exchange('vllm/chat_stream').bytes.toString('utf8').split('\n\n', 2).map((event) => JSON.parse(event.replace(/^data: /, '')) as object);
  return [events[0] ?? {}, events[1] ?? {}];
}

/** Two alternatives whose log-probs differ by what the temperature makes of it, as with `--logprobs-mode processed_logprobs`. */
function probed(body: Record<string, unknown>): unknown {
  const temperature = Number(body['temperature'] ?? 1);
  const top = [{ token: 'a', logprob: -0.5 }, { token: 'b', logprob: -0.5 - 1 / temperature }];
  const answer = bodyOf(exchange('vllm/chat_ids_toplogprobs0'));
  return { ...answer, choices: [{ index: 0, token_ids: [5], logprobs: { content: [{ token: 'a', logprob: -0.5, top_logprobs: top }] }, finish_reason: 'length' }] };
}

function replay(outgoing: ServerResponse, name: string, from: string, to: string): void {
  const { status, contentType, bytes } = exchange(`vllm/${name}`);
  outgoing.writeHead(status, { 'content-type': contentType }).end(bytes.toString('utf8').replaceAll(from, to));
}

function json(outgoing: ServerResponse, status: number, body: unknown): void {
  outgoing.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

async function readJson(incoming: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer); // of a request without an encoding set
  return chunks.length === 0 ? {} : JSON.parse(Buffer.concat(chunks).toString('utf8')) as Record<string, unknown>;
}
