/**
 * Reading what steps share: a request may be compressed against an earlier step's request, and a prompt may be stored as what it adds to an earlier step's prompt + completion. What
 * was read is kept for the steps that follow, so that a conversation is read once: use one reader for one page or query, and let it go.
 */
import { decodeIds, decompressBody } from './codec.ts';
import { StoreError } from './errors.ts';
import type { Database } from './open.ts';

export interface StoredRequest { readonly id: string; readonly request: Buffer | null; readonly requestBase: string | null }
export interface StoredPrompt { readonly id: string; readonly promptIds: Buffer | null; readonly promptBase: string | null; readonly sharedTokens: number | null }

type PromptRow = StoredPrompt & { readonly completionIds: Buffer | null };

export class SharedContent {
  readonly #db: Database;
  readonly #requests = new Map<string, Buffer>();
  /** Prompt and completion. */
  readonly #ids = new Map<string, readonly [Int32Array, Int32Array]>();

  constructor(db: Database) {
    this.#db = db;
  }

  /** The body as the client sent it, UTF-8. @throws StoreError `corrupt` where its base is missing */
  request(row: StoredRequest): Buffer | null {
    if (row.request === null) return null;
    // From the last step that is whole to this one: chains are short (`recent-calls.ts`), but need not be.
    const chain = [row];
    for (let base; (base = chain.at(-1)?.requestBase ?? null) !== null && !this.#requests.has(base);) chain.push(required(this.#db.prepared(selectRequest).get(base), base));
    for (const { id, request, requestBase } of chain.toReversed()) {
      this.#requests.set(id, decompressBody(required(request, id), requestBase === null ? undefined : required(this.#requests.get(requestBase), requestBase)));
    }
    return required(this.#requests.get(row.id), row.id);
  }

  /** `[prompt tokens]`. @throws StoreError `corrupt` where its base is missing */
  prompt(row: StoredPrompt): Int32Array | null {
    if (row.promptIds === null) return null;
    if (row.promptBase === null) return decodeIds(row.promptIds);
    const chain: PromptRow[] = [];
    for (let base: string | null = row.promptBase; base !== null && !this.#ids.has(base); base = chain.at(-1)?.promptBase ?? null) chain.push(required(this.#db.prepared(selectPrompt).get(base), base));
    for (const step of chain.toReversed()) this.#ids.set(step.id, [this.#joined(step), step.completionIds === null ? new Int32Array() : decodeIds(step.completionIds)]);
    return this.#joined(row);
  }

  #joined({ id, promptIds, promptBase, sharedTokens }: StoredPrompt): Int32Array {
    const own = decodeIds(required(promptIds, id));
    if (promptBase === null) return own;
    const [prompt, completion] = required(this.#ids.get(promptBase), promptBase);
    const shared = sharedTokens ?? 0;
    const ids = new Int32Array(shared + own.length);
    ids.set(prompt.subarray(0, shared));
    ids.set(completion.subarray(0, Math.max(shared - prompt.length, 0)), Math.min(prompt.length, shared));
    ids.set(own, shared);
    return ids;
  }
}

function required<T>(value: T | null | undefined, stepId: string): T {
  if (value === null || value === undefined) throw new StoreError('corrupt', `Step ${stepId}, which later steps are stored against, is not whole.`);
  return value;
}

const selectRequest = (db: Database) => db.sqlite.prepare<[string], StoredRequest>('select id, request, request_base as requestBase from steps where id = ?');
const selectPrompt = (db: Database) => db.sqlite.prepare<[string], PromptRow>(
  'select id, prompt_ids as promptIds, prompt_base as promptBase, shared_tokens as sharedTokens, completion_ids as completionIds from steps where id = ?');
