/** A whole proxy in front of a scripted server: what the client sees, what the server sees, what is stored. */
import { rmSync } from 'node:fs';
import { configSchema } from '../../../config/schema.ts';
import { createLog } from '../../../proxy/log.ts';
import { startProxy, type Proxy } from '../../../proxy/main.ts';
import { openDatabase } from '../../../store/open.ts';
import { getStep, listSteps, type Step } from '../../../store/steps.ts';
import { tempDir } from '../harness.ts';
import { scriptedUpstream, type Script, type ScriptedUpstream } from './upstream.ts';

export interface ClientView {
  readonly status: number;
  readonly headers: Headers;
  /** `data:` payloads of a stream; empty for a JSON answer. */
  readonly events: readonly string[];
  /** A JSON answer, or a stream's last event if that is JSON. */
  readonly body: { readonly error?: { readonly message: string; readonly type: string; readonly code: unknown }; readonly [field: string]: unknown } | null;
}

export interface Behind extends AsyncDisposable {
  readonly proxy: Proxy;
  readonly upstream: ScriptedUpstream;
  readonly chatUrl: string;
  request(stream: boolean, more?: object): string;
  chat(stream: boolean, signal?: AbortSignal, headers?: Record<string, string>): Promise<ClientView>;
  /** Every step, oldest first, decoded. */
  steps(): Promise<Step[]>;
}

export async function behind(script: Script, options: { server?: object; store?: object; backend?: object } = {}): Promise<Behind> {
  const dataDir = tempDir();
  const upstream = await scriptedUpstream(script);
  const config = configSchema.parse({
    dataDir, server: { port: 0, ...options.server }, store: options.store, backend: { kind: 'openai', baseUrl: upstream.baseUrl, ...options.backend },
  });
  const proxy = await startProxy(config, { env: {}, log: createLog('silent') });
  const db = openDatabase(dataDir, { readonly: true });
  const chatUrl = `${proxy.url}/v1/chat/completions`;
  const request = (stream: boolean, more: object = {}) => JSON.stringify({ model: 'm', stream, messages: [{ role: 'user', content: 'go on' }], ...more });
  return {
    proxy, upstream, chatUrl, request,
    async chat(stream, signal, headers = {}) {
      const response = await fetch(chatUrl, { method: 'POST', body: request(stream), headers: { 'content-type': 'application/json', ...headers }, ...(signal ? { signal } : {}) });
      return view(response, await response.text());
    },
    async steps() {
      await proxy.settled();
      return listSteps(db, { order: 'oldest', limit: 1000 }).items.map(({ id }) => getStep(db, id)).filter((step) => step !== undefined);
    },
    async [Symbol.asyncDispose]() {
      db.close();
      await proxy.close(0);
      await upstream[Symbol.asyncDispose]();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

function view(response: Response, text: string): ClientView {
  const streamed = response.headers.get('content-type')?.startsWith('text/event-stream') === true;
  const events = streamed ? text.split('\n\n').filter((event) => event !== '').map((event) => event.replace(/^data: /, '')) : [];
  const last = streamed ? events.at(-1) ?? '' : text;
  return { status: response.status, headers: response.headers, events, body: last.startsWith('{') ? JSON.parse(last) as ClientView['body'] : null };
}
