/**
 * A stand-in for llama.cpp's server: its `/completion` as b11434 was recorded (test/fixtures/llamacpp), with our own engine behind it. It samples as it is asked
 * to, counts as the real one does, and like it keeps tokens to itself that end inside a character. Grammars it does not know.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { startEngine } from '../../../engine/client.ts';
import type { GenerateRequest, SampledToken } from '../../../engine/engine.ts';
import { openText } from '../../../model/open.ts';
import { listen, readJson, type StandIn } from './http.ts';

export interface Completion {
  readonly prompt: number[];
  readonly n_predict: number;
  readonly n_cmpl: number;
  readonly n_probs: number;
  readonly post_sampling_probs: boolean;
  readonly temperature: number;
  readonly min_p: number;
  readonly top_k: number;
  readonly top_p: number;
  readonly repeat_penalty: number;
  readonly frequency_penalty: number;
  readonly presence_penalty: number;
  readonly seed: number;
  readonly logit_bias?: readonly (readonly [id: number, bias: number])[];
  readonly grammar?: string;
  readonly lora?: readonly { readonly id: number; readonly scale: number }[];
  readonly cache_prompt: boolean;
}

export interface LlamaCppStandIn extends StandIn {
  /** The bodies of completions that were asked for. */
  readonly asked: Completion[];
}

export interface LlamaCppOptions {
  readonly model: string;
  readonly cacheDir: string;
  readonly maxContext: number;
  /** Files of the adapters that it was started with; it only lists them. */
  readonly adapters?: readonly string[];
  /** The model was taught to write, and writes no halves of characters: its tokens of single bytes beyond ASCII are left out. */
  readonly wholeCharacters?: boolean;
  /** Answers every completion so, with status 400. */
  readonly refusal?: string;
  /** How it decodes speculatively. */
  readonly speculative?: string;
}

export async function startLlamaCppStandIn({ model, cacheDir, maxContext, adapters = [], wholeCharacters = false, refusal, speculative = 'none' }: LlamaCppOptions): Promise<LlamaCppStandIn> {
  const engine = await startEngine({ model, cacheDir, maxContext, maxRows: 8, maxQueue: 100, maxQueueMs: 60_000, maxStallMs: 50, threads: 1, prefixCacheBytes: 0, swap: 'finish' });
  const { tokenizer, config } = openText(model);
  const asked: Completion[] = [];
  let open = 0;
  const partial = Array.from({ length: config.vocabSize }, (_, id) => id).filter((id) => wholeCharacters && tokenizer.tokenBytes(id).some((byte) => byte >= 0x80));

  const complete = async (body: Completion, response: ServerResponse): Promise<void> => {
    asked.push(body);
    if (refusal !== undefined) {
      response.writeHead(400, { 'content-type': 'application/json' }).end(JSON.stringify({ error: { code: 400, message: refusal, type: 'invalid_request_error' } }));
      return;
    }
    const client = new AbortController();
    open++;
    response.once('close', () => {
      open--;
      client.abort();
    });
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const choices = Array.from({ length: body.n_cmpl }, () => ({ predicted: 0, hidden: [] as number[] }));
    const send = (event: object): void => { response.write(`data: ${JSON.stringify(event)}\n\n`); };
    for await (const event of engine.generate(requestOf(body, config.eosTokenIds, partial), client.signal)) {
      if (event.type === 'started') continue;
      const choice = choices[event.choice];
      if (choice === undefined) throw new Error('a choice too many');
      const counted = () => ({ index: event.choice, tokens_predicted: choice.predicted, tokens_evaluated: body.prompt.length });
      if (event.type === 'finished') {
        send({ ...counted(), content: '', tokens: [], stop: true, stop_type: event.reason === 'length' ? 'limit' : 'eos' });
        continue;
      }
      choice.predicted++;
      choice.hidden.push(event.token.id);
      const text = tokenizer.decode(choice.hidden, { skipSpecialTokens: true });
      if (text.endsWith('\uFFFD')) continue;
      choice.hidden = [];
      send({ ...counted(), content: text, tokens: [event.token.id], stop: false, id_slot: -1, completion_probabilities: [probability(event.token, body)] });
    }
    response.end();
  };

  const probability = ({ id, logprob, rawLogprob, top }: SampledToken, { post_sampling_probs: isPost }: Completion): object => {
    const entry = (token: number, value: number) => ({ id: token, token: tokenizer.decode([token]), bytes: [...tokenizer.tokenBytes(token)], ...(isPost ? { prob: Math.exp(value) } : { logprob: value }) });
    // The real one's alternatives are of the same distribution as the token; the engine gives the raw ones only.
    return { ...entry(id, isPost ? logprob : rawLogprob), [isPost ? 'top_probs' : 'top_logprobs']: top.map((other) => entry(other.id, other.logprob)) };
  };

  const answers: Record<string, (request: IncomingMessage, response: ServerResponse) => Promise<unknown>> = {
    '/health': () => Promise.resolve({ status: 'ok' }),
    '/props': () => Promise.resolve({ default_generation_settings: { params: { 'speculative.types': speculative }, n_ctx: maxContext }, total_slots: 8 }),
    '/lora-adapters': () => Promise.resolve(adapters.map((path, id) => ({ id, path, scale: 0 }))),
    '/tokenize': async (request) => ({ tokens: [...tokenizer.encode(String((await readJson(request))['content']))] }),
    '/completion': async (request, response) => complete(await readJson(request) as unknown as Completion, response), // as our own backend writes it
  };
  return { ...await listen(answers, () => open, () => engine.close()), asked };
}

function requestOf(body: Completion, stopTokenIds: readonly number[], banned: readonly number[]): GenerateRequest {
  return {
    promptTokenIds: Int32Array.from(body.prompt), n: body.n_cmpl, maxTokens: body.n_predict, stopTokenIds, topLogprobs: body.n_probs, version: null,
    sampling: {
      temperature: body.temperature, minP: body.min_p, topK: body.top_k, topP: body.top_p, seed: body.seed < 0 ? null : body.seed,
      repetitionPenalty: body.repeat_penalty, frequencyPenalty: body.frequency_penalty, presencePenalty: body.presence_penalty,
      logitBias: [...body.logit_bias ?? [], ...banned.map((id) => [id, -100] as const)],
    },
  };
}
