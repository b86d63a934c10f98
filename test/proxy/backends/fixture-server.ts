/** Replays recorded exchanges of real servers over real HTTP. */
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Exchange {
  readonly request: { readonly body: Record<string, unknown> | null };
  readonly status: number;
  readonly contentType: string;
  readonly bytes: Buffer;
}

const root = new URL('../../fixtures/', import.meta.url);

interface Recorded {
  readonly request: Exchange['request'];
  readonly response: { readonly status: number; readonly headers: readonly (readonly [string, string])[]; readonly body_text?: string; readonly sse_file?: string };
}

/** @param name `vllm/chat_plain` */
export function exchange(name: string): Exchange {
  // The files are ours: README.md beside them says how they are laid out.
  const { request, response } = JSON.parse(readFileSync(new URL(`${name}.json`, root), 'utf8')) as Recorded;
  const file = response.sse_file === undefined ? null : new URL(`${name}.sse`, root);
  return {
    request,
    status: response.status,
    contentType: response.headers.find(([header]) => header.toLowerCase() === 'content-type')?.[1] ?? 'application/json',
    bytes: file === null ? Buffer.from(response.body_text ?? '') : readFileSync(file),
  };
}

export const bodyOf = (recorded: Exchange): Record<string, unknown> => JSON.parse(recorded.bytes.toString('utf8')) as Record<string, unknown>;

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Record<string, unknown>;
}

export interface FixtureServer extends AsyncDisposable {
  readonly baseUrl: string;
  /** Every request that came, in order. */
  readonly asked: readonly Asked[];
  /** Responses that have not ended and not been cut off. */
  readonly open: () => number;
}

async function readJson(incoming: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer); // of a request without an encoding set
  return chunks.length === 0 ? {} : JSON.parse(Buffer.concat(chunks).toString('utf8')) as Record<string, unknown>;
}

/** Sends in pieces of `x-piece-bytes`, pausing `x-pace-ms` between them: the client's headers set them, so they must have passed. */
async function send(outgoing: ServerResponse, { bytes, status, contentType }: Exchange, headers: IncomingMessage['headers']): Promise<void> {
  outgoing.writeHead(status, { 'content-type': contentType });
  const pace = Number(headers['x-pace-ms'] ?? 0);
  const piece = Number(headers['x-piece-bytes'] ?? (pace > 0 ? 200 : bytes.length));
  for (let at = 0; at < bytes.length && !outgoing.destroyed; at += piece) {
    outgoing.write(bytes.subarray(at, at + piece));
    await (pace > 0 ? sleep(pace) : new Promise(setImmediate));
  }
  outgoing.end();
}

/** @param answer what to reply, by what was asked */
export async function fixtureServer(answer: (asked: Asked) => Exchange): Promise<FixtureServer> {
  const asked: Asked[] = [];
  let open = 0;
  const handle = async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const request = { method: incoming.method ?? '', path: incoming.url ?? '', headers: incoming.headers, body: await readJson(incoming) };
    asked.push(request);
    open++;
    outgoing.once('close', () => { open--; });
    await send(outgoing, answer(request), incoming.headers);
  };
  const server = createServer((incoming, outgoing) => { handle(incoming, outgoing).catch((error: unknown) => outgoing.destroy(error as Error)); });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const { port } = server.address() as AddressInfo; // of a TCP server
  return {
    baseUrl: `http://127.0.0.1:${port}/v1`,
    asked,
    open: () => open,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => { server.close(resolve); });
    },
  };
}

/** vLLM as it was recorded, by what is asked. */
export function vllm({ path, body }: Asked): Exchange {
  if (path.endsWith('/models')) return exchange('vllm/models');
  const named = body['model'] === 'nope' ? 'err_bad_model'
    : JSON.stringify(body['messages']).length > 5000 ? 'err_too_long'
    : body['stop'] !== undefined ? 'chat_stop_string'
    : body['tools'] !== undefined ? 'chat_tools_required'
    : body['n'] === 2 ? 'chat_n2'
    : null;
  if (named?.startsWith('err_') === true) return exchange(`vllm/${named}`);
  const withIds = body['return_token_ids'] === true;
  if (body['stream'] === true) return exchange(`vllm/${named === null ? (withIds ? 'chat_stream' : 'chat_stream_plain') : `${named}_stream`}`);
  return exchange(`vllm/${named ?? (withIds ? 'chat_ids_toplogprobs0' : 'chat_plain')}`);
}

/** llama.cpp as it was recorded: no prompt ids, whatever is asked. */
export function llamacpp({ path, body }: Asked): Exchange {
  if (path.endsWith('/models')) return exchange('llamacpp/models');
  const withLogprobs = body['logprobs'] === true;
  if (body['stream'] === true) return exchange(withLogprobs ? 'llamacpp/chat_stream' : 'llamacpp/chat_stream_plain');
  return exchange(withLogprobs ? 'llamacpp/chat_return_token_ids_vllm_style' : 'llamacpp/chat_plain');
}
