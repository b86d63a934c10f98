/**
 * A stand-in for an SGLang server, written from its source (0.5.23: entrypoints/http_server.py, managers/tokenizer_manager.py), with our own engine behind
 * it: `/generate` with batches of token ids, events that tell all there is so far, log-probs as `[logprob, id, null]`. Adapters it only counts.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { startEngine } from '../../../engine/client.ts';
import type { GenerateRequest } from '../../../engine/engine.ts';
import { openText } from '../../../model/open.ts';
import { listen, readJson, type StandIn } from './http.ts';

interface Params {
  readonly max_new_tokens: number;
  readonly temperature: number;
  readonly top_p: number;
  readonly top_k: number;
  readonly min_p: number;
  readonly stop_token_ids?: readonly number[];
  readonly sampling_seed?: number;
  readonly logit_bias?: Readonly<Record<string, number>>;
}

interface Generate {
  readonly input_ids: readonly (readonly number[])[] | readonly number[];
  readonly sampling_params: readonly Params[] | Params;
  readonly top_logprobs_num?: number;
  readonly stream?: boolean;
  readonly lora_path?: string;
}

export interface SglangStandIn extends StandIn {
  /** Names of adapters: loaded, and asked for by a generation. */
  readonly adapters: { readonly loaded: Set<string>; readonly used: string[] };
}

export interface SglangOptions {
  readonly model: string;
  readonly cacheDir: string;
  readonly maxContext: number;
  /** `--incremental-streaming-output`: events tell what is new only. */
  readonly incremental?: boolean;
  /** `SGLANG_RETURN_ORIGINAL_LOGPROB`. */
  readonly originalLogprobs?: boolean;
}

export async function startSglangStandIn({ model, cacheDir, maxContext, incremental = false, originalLogprobs = false }: SglangOptions): Promise<SglangStandIn> {
  const engine = await startEngine({ model, cacheDir, maxContext, maxRows: 8, maxQueue: 100, maxQueueMs: 60_000, maxStallMs: 50, threads: 1, prefixCacheBytes: 0, swap: 'finish' });
  const { tokenizer, config } = openText(model);
  const adapters = { loaded: new Set<string>(), used: [] as string[] };
  let open = 0;

  /** One prompt of a batch: an event after each token. */
  const generate = async (index: number, body: Generate, promptTokenIds: readonly number[], params: Params, signal: AbortSignal, send: (event: object) => void): Promise<void> => {
    const listed: unknown[] = [], tops: unknown[] = [];
    const request = requestOf(promptTokenIds, params, [...config.eosTokenIds, ...params.stop_token_ids ?? []], body.top_logprobs_num ?? 0);
    for await (const event of engine.generate(request, signal)) {
      if (event.type === 'started') continue;
      if (event.type === 'token') {
        // Taken after the temperature and before top-p and the like, as there.
        listed.push([originalLogprobs ? event.token.rawLogprob : event.token.logprob, event.token.id, null]);
        tops.push(event.token.top.map(({ id, logprob }) => [originalLogprobs ? logprob : logprob / (params.temperature || 1), id, null]));
      }
      const from = incremental && body.stream === true ? listed.length - (event.type === 'token' ? 1 : 0) : 0;
      send({
        index, output_ids: [],
        meta_info: {
          prompt_tokens: promptTokenIds.length, completion_tokens: listed.length, output_token_logprobs: listed.slice(from), output_token_logprobs_length: listed.length, output_top_logprobs: tops.slice(from),
          finish_reason: event.type === 'token' ? null : event.reason === 'length' ? { type: 'length', length: params.max_new_tokens } : { type: 'stop', matched: 0 },
        },
      });
    }
  };

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<unknown> => {
    const body = await readJson(request) as unknown as Generate; // as our own backend writes it
    if (body.lora_path !== undefined) adapters.used.push(body.lora_path);
    const client = new AbortController();
    open++;
    response.once('close', () => {
      open--;
      client.abort();
    });
    const prompts = (Array.isArray(body.input_ids[0]) ? body.input_ids : [body.input_ids]) as readonly (readonly number[])[];
    const params = Array.isArray(body.sampling_params) ? body.sampling_params as readonly Params[] : [body.sampling_params as Params];
    let last: object = {};
    const send = (event: object): void => {
      last = event;
      if (body.stream === true) response.write(`data: ${JSON.stringify(event)}\n\n`);
    };
    if (body.stream === true) response.writeHead(200, { 'content-type': 'text/event-stream' });
    await Promise.all(prompts.map((ids, i) => generate(i, body, ids, params[i] ?? params[0] as Params, client.signal, send)));
    if (body.stream === true) response.end('data: [DONE]\n\n');
    return last;
  };

  const load = async (request: IncomingMessage, response: ServerResponse): Promise<unknown> => {
    const name = String((await readJson(request))['lora_name']);
    const isKnown = adapters.loaded.has(name);
    if (isKnown) response.writeHead(400, { 'content-type': 'application/json' }).end(JSON.stringify({ success: false, error_message: `LoRA with name ${name} already exists.` }));
    adapters.loaded.add(name);
    return { success: true, loaded_adapters: {} };
  };

  const server = await listen({
    '/health': () => Promise.resolve(null),
    '/v1/models': () => Promise.resolve({ object: 'list', data: [{ id: 'chain', max_model_len: maxContext }] }),
    '/tokenize': async (request) => ({ tokens: [...tokenizer.encode(String((await readJson(request))['prompt']))] }),
    '/generate': answer,
    '/load_lora_adapter': load,
    '/unload_lora_adapter': async (request) => ({ success: adapters.loaded.delete(String((await readJson(request))['lora_name'])) }),
  }, () => open, () => engine.close());
  return { ...server, adapters };
}

function requestOf(promptTokenIds: readonly number[], params: Params, stopTokenIds: readonly number[], topLogprobs: number): GenerateRequest {
  return {
    promptTokenIds: Int32Array.from(promptTokenIds), n: 1, maxTokens: params.max_new_tokens, stopTokenIds, topLogprobs, version: null,
    sampling: {
      temperature: params.temperature, topP: params.top_p, topK: Math.max(params.top_k, 0), minP: params.min_p, seed: params.sampling_seed ?? null,
      repetitionPenalty: 1, frequencyPenalty: 0, presencePenalty: 0,
      logitBias: Object.entries(params.logit_bias ?? {}).map(([id, bias]) => [Number(id), bias]),
    },
  };
}
