/**
 * What the proxy asks a server for on its own account, beside what the client asked: the engine's token ids
 * (vLLM's `return_token_ids`), log-probs, and the usage at a stream's end. Pure.
 */
import { isRecord, type JsonObject } from './json.ts';

export const askable = ['return_token_ids', 'logprobs', 'top_logprobs', 'stream_options'] as const;
export type Askable = (typeof askable)[number];

/** What was asked for by the proxy alone, and is taken out of what the client sees. */
export interface Asked {
  readonly tokenIds: boolean;
  readonly logprobs: boolean;
  readonly usage: boolean;
  /** The model's name as the client wrote it, where the server was told another one. */
  readonly model: unknown;
}

export interface Asking {
  readonly body: JsonObject;
  readonly asked: Asked;
  /** The fields that were added or changed. */
  readonly added: readonly Askable[];
}

/**
 * @param without fields that this server is known to refuse, or that the configuration rules out
 * @param model the server's name for what the client calls otherwise
 */
export function ask(client: JsonObject, without: ReadonlySet<Askable>, model?: string): Asking {
  const body: Record<string, unknown> = model === undefined ? { ...client } : { ...client, model };
  const added: Askable[] = [];
  const add = (field: Askable, wanted: boolean, value: unknown): boolean => {
    if (!wanted || without.has(field)) return false;
    body[field] = value;
    added.push(field);
    return true;
  };
  const options = isRecord(client['stream_options']) ? client['stream_options'] : {};
  const tokenIds = add('return_token_ids', client['return_token_ids'] !== true, true);
  const logprobs = add('logprobs', client['logprobs'] !== true, true);
  // vLLM reads an explicit null as "no log-probs at all"; the sampled token's is all we need.
  add('top_logprobs', (logprobs || client['logprobs'] === true) && (client['top_logprobs'] ?? null) === null, 0);
  const usage = add('stream_options', client['stream'] === true && options['include_usage'] !== true, { ...options, include_usage: true });
  return { body, asked: { tokenIds, logprobs, usage, model: model === undefined ? undefined : client['model'] }, added };
}

/** Statuses by which servers refuse a parameter: OpenAI 400, some of its models 403, pydantic-based servers 422. */
const refusals = new Set([400, 403, 422]);

/** Which of the added fields an error response names. */
export function refusedFields(status: number, errorText: string, added: readonly Askable[]): readonly Askable[] {
  if (!refusals.has(status)) return [];
  const named = new Set(errorText.match(/\w+/g));
  return added.filter((field) => named.has(field));
}
