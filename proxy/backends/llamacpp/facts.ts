/** What a llama.cpp server says of itself, asked for once at the start. */
import type { Model } from '../../../model/model.ts';
import { isRecord, records, type JsonObject } from '../openai/json.ts';
import type { TokenServer } from '../tokens/server.ts';
import { requireSameTokens, sampleText, unsuitable } from '../tokens/suitable.ts';

export interface ServerFacts {
  /** Tokens that one request may have, prompt and completion. */
  readonly maxContext: number;
  readonly adapters: readonly { readonly id: number; readonly path: string }[];
}

/** @throws ApiError in one sentence that says what to do */
export async function readFacts(server: TokenServer, { tokenizer }: Pick<Model, 'tokenizer'>, signal: AbortSignal): Promise<ServerFacts> {
  const [props, adapters, tokenized] = await Promise.all([
    server.get('/props', signal), server.get('/lora-adapters', signal), server.post('/tokenize', { content: sampleText, add_special: false, parse_special: true }, signal),
  ]);
  const settings = isRecord(props) && isRecord(props['default_generation_settings']) ? props['default_generation_settings'] : {};
  const maxContext = settings['n_ctx'];
  if (typeof maxContext !== 'number') throw unsuitable(server, 'It does not say its context (/props): is it a llama.cpp server, and recent?');
  requireExact(server, isRecord(settings['params']) ? settings['params'] : {});
  requireSameTokens(server, tokenizer, tokenized);
  return { maxContext, adapters: records(adapters).map((adapter) => ({ id: Number(adapter['id']), path: String(adapter['path']) })) };
}

/** Of tokens that a draft model proposed the server does not say the probability. */
function requireExact(server: TokenServer, params: JsonObject): void {
  const speculative = params['speculative.types'] ?? 'none';
  if (speculative !== 'none') throw unsuitable(server, `It decodes speculatively (${JSON.stringify(speculative)}), and then does not say each token's probability: start it without.`);
}
