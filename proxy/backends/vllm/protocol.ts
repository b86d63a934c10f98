/**
 * What vLLM's server says outside of its completions: its models and adapters, and why it did not load one
 * (https://docs.vllm.ai/en/latest/features/lora/ and vllm/entrypoints/openai/models/serving.py, 0.32). Pure.
 */
import { isRecord, records } from '../openai/json.ts';

export interface ModelList {
  /** The base model's name. */
  readonly base: string;
  readonly created: number;
  readonly ownedBy: string;
  /** Longest prompt + completion, in tokens. */
  readonly maxLength: number | null;
  /** Names of the adapters that are loaded. */
  readonly adapters: ReadonlySet<string>;
}

/** GET /v1/models: adapters name their base as `parent`. Null where no base model is listed. */
export function readModels(answer: unknown): ModelList | null {
  const models = records(isRecord(answer) ? answer['data'] : []);
  const isAdapter = (model: Record<string, unknown>) => typeof model['parent'] === 'string';
  const base = models.find((model) => !isAdapter(model));
  if (base === undefined || typeof base['id'] !== 'string') return null;
  return {
    base: base['id'],
    created: typeof base['created'] === 'number' ? base['created'] : 0,
    ownedBy: typeof base['owned_by'] === 'string' ? base['owned_by'] : 'vllm',
    maxLength: typeof base['max_model_len'] === 'number' ? base['max_model_len'] : null,
    adapters: new Set(models.filter(isAdapter).flatMap(({ id }) => typeof id === 'string' ? [id] : [])),
  };
}

/** What became of POST /v1/load_lora_adapter. `refused`: this adapter cannot be loaded there. `failed`: the server is not well. */
export type LoadAnswer = { readonly kind: 'loaded' } | { readonly kind: 'refused' | 'failed'; readonly why: string };

/** @param why the server's message */
export function readLoad(status: number, why: string): LoadAnswer {
  if (status < 400 || (status === 400 && why.includes('already been loaded'))) return { kind: 'loaded' };
  // Without VLLM_ALLOW_RUNTIME_LORA_UPDATING the route does not exist.
  if (status === 404 && !why.includes('adapter')) return { kind: 'refused', why: 'it takes no adapters while it runs' };
  // A rank that is too large is a 500.
  return { kind: status > 500 ? 'failed' : 'refused', why };
}

/** An answer that says that the server does not know a model which it was told to load: it has been restarted. */
export const isUnknownModel = (status: number, why: string, model: string): boolean => status === 404 && why.includes(model);

/** A server that failed before it answered: another replica may do better. */
export const isReplicaFailure = (status: number): boolean => status === 500 || status === 502 || status === 503;
