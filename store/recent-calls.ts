/**
 * What a writing connection remembers of its last calls, so that one which goes on from them, or begins like them, is stored as what it adds. Bounded in bytes; what is forgotten,
 * or was before a restart, is no base: the next call is stored whole. `shared-content.ts` reads it.
 */
import type { CompleteStep, OpenStep } from './step-writes.ts';

/** A call, by its choice 0. */
export interface RecentCall {
  readonly stepId: string;
  readonly attemptId: string;
  readonly request: Uint8Array;
  readonly requestBase: string | null;
  /** Steps that must be read before its request. */
  readonly requestDepth: number;
  /** Prompt, then completion; empty until they are known. */
  ids: readonly [Int32Array, Int32Array];
  promptDepth: number;
}

/** Where a prompt begins as another call's prompt + completion does. */
export interface SharedPrompt { readonly base: RecentCall; readonly tokens: number }

/** A call that was remembered may have been rolled back: whether it is in the database. */
export type IsStored = (stepId: string) => boolean;

const maxDepth = 31;
/** Sharing less is not worth another row to read. */
const minSharedBytes = 256;
/** Sub-agents of one attempt take turns. */
const perAttempt = 8;
const perBeginning = 4;
const noIds = new Int32Array();

export class RecentCalls {
  readonly #maxBytes: number;
  /** Oldest first. */
  readonly #byStep = new Map<string, RecentCall>();
  readonly #byAttempt = new Map<string, RecentCall[]>();
  readonly #byBeginning = new Map<string, RecentCall[]>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The call whose request begins most like this one's; of equals the one that is quicker to read. */
  baseFor({ attemptId, request }: Pick<OpenStep, 'attemptId' | 'request'>, isStored: IsStored): RecentCall | null {
    if (request === null) return null;
    const bytes = bytesOf(request);
    let base: RecentCall | null = null;
    let shared = minSharedBytes - 1;
    for (const call of [...this.#byAttempt.get(attemptId) ?? [], ...this.#byBeginning.get(beginningOf(bytes)) ?? []]) {
      if (call.requestDepth >= maxDepth) continue;
      const length = common(call.request, bytes);
      if (length > shared || (base !== null && length === shared && call.requestDepth < base.requestDepth)) [base, shared] = [call, length];
    }
    return base !== null && isStored(base.stepId) ? base : null;
  }

  /** The longest of what the prompt has in common with the call that its request is based on, with its parent, and with another choice of its call. */
  sharedPrompt({ id, parentStepId, promptIds }: Pick<CompleteStep, 'id' | 'parentStepId' | 'promptIds'>, otherChoice: string | undefined, isStored: IsStored): SharedPrompt | null {
    if (promptIds === null) return null;
    let shared: SharedPrompt | null = null;
    for (const stepId of new Set([this.#byStep.get(id)?.requestBase, parentStepId, otherChoice])) {
      const base = stepId == null || stepId === id ? undefined : this.#byStep.get(stepId);
      if (base === undefined || base.promptDepth >= maxDepth) continue;
      const [prompt, completion] = base.ids;
      const inPrompt = common(prompt, promptIds);
      const tokens = inPrompt < prompt.length ? inPrompt : inPrompt + common(completion, promptIds.subarray(inPrompt));
      if (tokens > (shared?.tokens ?? 0)) shared = { base, tokens };
    }
    return shared !== null && isStored(shared.base.stepId) ? shared : null;
  }

  opened({ id: stepId, attemptId, request }: Pick<OpenStep, 'id' | 'attemptId' | 'request'>, base: RecentCall | null): void {
    if (request === null) return;
    const again = this.#byStep.get(stepId); // its transaction was rolled back
    if (again !== undefined) this.#drop(again);
    const call: RecentCall = {
      stepId, attemptId, request: Uint8Array.from(bytesOf(request)), requestBase: base?.stepId ?? null, requestDepth: base === null ? 0 : base.requestDepth + 1, ids: [noIds, noIds], promptDepth: 0,
    };
    this.#byStep.set(stepId, call);
    this.#bytes += sizeOf(call);
    push(this.#byAttempt, attemptId, call, perAttempt);
    // Members of a group ask the same: the first of them stands for all.
    if (base === null || Buffer.compare(base.request, call.request) !== 0) push(this.#byBeginning, beginningOf(call.request), call, perBeginning);
    this.#forget();
  }

  completed({ id, promptIds, completionIds }: Pick<CompleteStep, 'id' | 'promptIds' | 'completionIds'>, shared: SharedPrompt | null): void {
    const call = this.#byStep.get(id);
    if (call === undefined || promptIds === null) return;
    this.#bytes -= sizeOf(call);
    call.ids = [promptIds.slice(), completionIds?.slice() ?? noIds];
    call.promptDepth = shared === null ? 0 : shared.base.promptDepth + 1;
    this.#bytes += sizeOf(call);
    this.#forget();
  }

  #forget(): void {
    for (const call of this.#byStep.values()) {
      if (this.#bytes <= this.#maxBytes) return;
      this.#drop(call);
    }
  }

  #drop(call: RecentCall): void {
    this.#byStep.delete(call.stepId);
    this.#bytes -= sizeOf(call);
    remove(this.#byAttempt, call.attemptId, call);
    remove(this.#byBeginning, beginningOf(call.request), call);
  }
}

const bytesOf = (request: string | Uint8Array): Uint8Array => (typeof request === 'string' ? Buffer.from(request) : request);

/** What requests of one kind have in common: the model, the settings before the messages, the first words. */
const beginningOf = (request: Uint8Array): string => Buffer.from(request.buffer, request.byteOffset, Math.min(request.byteLength, minSharedBytes)).toString('latin1');

/** With about what an entry costs beside its arrays. */
const sizeOf = ({ request, ids: [prompt, completion] }: RecentCall): number => request.byteLength + prompt.byteLength + completion.byteLength + 1024;

/** How far both are the same from their beginning. */
function common<Numbers extends Uint8Array | Int32Array>(a: Numbers, b: Numbers): number {
  const length = Math.min(a.length, b.length);
  const [left, right] = [viewOf(a), viewOf(b)];
  const width = a.BYTES_PER_ELEMENT;
  let i = 0;
  for (let end; (end = i + comparedAtOnce) <= length && left.compare(right, i * width, end * width, i * width, end * width) === 0;) i = end;
  while (i < length && a[i] === b[i]) i++;
  return i;
}

/** Natively; what differs in the last piece is found one by one. */
const comparedAtOnce = 256;
const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array | Int32Array): Buffer => Buffer.from(buffer, byteOffset, byteLength);

function push(lists: Map<string, RecentCall[]>, key: string, call: RecentCall, limit: number): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [call]);
  else if (list.push(call) > limit) list.shift();
}

function remove(lists: Map<string, RecentCall[]>, key: string, call: RecentCall): void {
  const left = (lists.get(key) ?? []).filter((other) => other !== call);
  if (left.length === 0) lists.delete(key);
  else lists.set(key, left);
}
