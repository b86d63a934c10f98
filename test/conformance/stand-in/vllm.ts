/**
 * A stand-in for a vLLM server: chat completions with the fields that 0.32 was recorded to add (test/fixtures/vllm), answered by our own embedded
 * backend. Faults and adapters are the matter of test/proxy/backends/vllm.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { embeddedBackendSchema } from '../../../config/schema.ts';
import type { CaptureDelta } from '../../../proxy/backends/backend.ts';
import { startEmbedded } from '../../../proxy/backends/embedded/start.ts';
import { toApiError } from '../../../proxy/errors.ts';
import { createLog } from '../../../proxy/log.ts';
import { chatCall, each } from '../../proxy/backends/answers.ts';
import { listen, readJson, type StandIn } from './http.ts';

interface Choice {
  index: number;
  token_ids?: readonly number[] | null;
  logprobs?: { content: { logprob: number; top_logprobs: { logprob: number }[] }[] } | null;
}
interface Answer {
  choices: Choice[];
  prompt_token_ids?: readonly number[] | null;
}

export async function startVllmStandIn(model: string, cacheDir: string, maxContext: number): Promise<StandIn> {
  const config = embeddedBackendSchema.parse({ kind: 'embedded', model, maxContext, threads: 1, maxRows: 8 });
  const backend = await startEmbedded(config, { cacheDir, adapterTargets: [] }, createLog('silent'));
  const [served] = await backend.models();
  let open = 0;

  const chat = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await readJson(request);
    const client = new AbortController();
    open++;
    response.once('close', () => {
      open--;
      client.abort();
    });
    const withIds = body['return_token_ids'] === true;
    const asked = { withIds, temperature: Number(body['temperature'] ?? 1) || 1 };
    try {
      const reply = await backend.chat(chatCall(body, { responseId: `chatcmpl-${Math.random().toString(36).slice(2)}` }), client.signal);
      if (reply.kind === 'json') {
        response.writeHead(reply.status, { 'content-type': 'application/json' }).end(JSON.stringify(told(reply.body as Answer, reply.capture, asked)));
        return;
      }
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      for await (const { data, capture } of each(reply.frames)) {
        // A token without text goes out all the same, for its id.
        const carriesIds = withIds && capture.some(({ tokenIds }) => tokenIds !== undefined);
        if (data === null && !carriesIds) continue;
        const chunk = data === null ? { object: 'chat.completion.chunk', choices: [{ index: capture[0]?.choice, delta: {}, logprobs: null, finish_reason: null }] } : JSON.parse(data) as object;
        response.write(`data: ${JSON.stringify(told(chunk as Answer, capture, asked))}\n\n`);
      }
      response.end('data: [DONE]\n\n');
    } catch (error) {
      const { status, message } = toApiError(error);
      if (response.headersSent) response.destroy();
      else response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ error: { message, type: 'BadRequestError', param: null, code: status } }));
    }
  };

  return listen({
    '/health': () => Promise.resolve(null),
    '/v1/models': () => Promise.resolve({ object: 'list', data: [{ id: served?.id, object: 'model', created: 1, owned_by: 'vllm', parent: null, max_model_len: maxContext }] }),
    '/v1/chat/completions': chat,
  }, () => open, () => backend.close());
}

/** With the ids where they were asked for; log-probs are those of what was sampled from, as with `--logprobs-mode processed_logprobs`. */
function told(answer: Answer, capture: readonly CaptureDelta[], { withIds, temperature }: { readonly withIds: boolean; readonly temperature: number }): Answer {
  const prompt = capture.find(({ promptTokenIds }) => promptTokenIds !== undefined)?.promptTokenIds;
  const choices = answer.choices.map((choice): Choice => {
    const own = capture.filter((delta) => delta.choice === choice.index);
    const ids = own.flatMap(({ tokenIds }) => tokenIds ?? []), sampled = own.flatMap(({ logprobs }) => logprobs ?? []);
    const logprobs = choice.logprobs == null ? null : {
      content: choice.logprobs.content.map((entry, i) => {
        const logprob = sampled[i] ?? entry.logprob;
        const norm = entry.logprob / temperature - logprob;
        return { ...entry, logprob, top_logprobs: entry.top_logprobs.map((top) => ({ ...top, logprob: top.logprob / temperature - norm })) };
      }),
    };
    return { ...choice, logprobs, ...(withIds ? { token_ids: ids } : {}) };
  });
  return { ...answer, choices, ...(withIds && prompt !== undefined ? { prompt_token_ids: [...prompt] } : {}) };
}
