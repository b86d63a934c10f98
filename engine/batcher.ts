/** Continuous batching: asks the scheduler what is next and does it, one action at a time. */
import { Choices, outOfMemory } from './choices.ts';
import type { EngineOptions, EngineStats, GenerateRequest } from './engine.ts';
import type { Constraints } from './grammar/constraint.ts';
import type { Job, Lane } from './lane.ts';
import { Lanes } from './lanes.ts';
import type { KvShape } from './kv.ts';
import type { Policy } from './policy.ts';
import { Pace } from './pace.ts';
import { PrefixCache } from './prefix-cache.ts';
import type { Failure, RequestEvent } from './protocol.ts';
import type { RunInput } from './runner.ts';
import { keepPrompt, readBehindKnown } from './reuse.ts';
import { FRESH_ROUND, nextAction, refusal, tokenLimit, type Limits, type Round } from './scheduler.ts';
import type { StepOutput } from './step-output.ts';
import { WaitingLine } from './waiting.ts';

export interface BatcherParts {
  readonly base: Policy;
  readonly shape: KvShape;
  readonly limits: Limits;
  readonly swap: EngineOptions['swap'];
  /** Memory for what later requests may reuse. */
  readonly prefixCacheBytes: number;
  /** How long reading a prompt may hold up what is being generated, between two tokens. */
  readonly maxStallMs: number;
  /** A seed for each request that brings none. */
  readonly drawSeed: () => number;
  /** Milliseconds, on the clock of `submittedMs`. */
  readonly now: () => number;
  readonly emit: (id: number, event: RequestEvent) => void;
}

export class Batcher {
  readonly #parts: BatcherParts;
  readonly #lanes: Lanes;
  readonly #prefixes: PrefixCache;
  readonly #choices: Choices;
  readonly #waiting = new WaitingLine();
  readonly #pace: Pace;
  #round: Round = FRESH_ROUND;
  #promptTokens = 0;
  #reusedTokens = 0;
  #decodeSteps = 0;

  constructor(parts: BatcherParts) {
    const { base, shape, limits, swap, prefixCacheBytes, maxStallMs, emit } = parts;
    this.#parts = parts;
    this.#lanes = new Lanes(base, swap, { shape, maxContext: limits.maxContext, maxRows: limits.maxRows });
    this.#pace = new Pace(maxStallMs, limits.chunk);
    this.#prefixes = new PrefixCache(shape, prefixCacheBytes);
    this.#choices = new Choices({ lanes: this.#lanes, prefixes: this.#prefixes, emit });
  }

  submit(id: number, request: GenerateRequest, submittedMs: number): void {
    const refused = refusal(request.promptTokenIds.length, this.#waiting.length, this.#parts.limits) ?? this.#unknown(request.version);
    if (refused) this.#parts.emit(id, { type: 'failed', error: refused });
    else this.#waiting.add({ id, request, submittedMs });
  }

  /** Forgets a request and frees its rows; one that has ended is none. */
  abort(id: number): void {
    this.#waiting.forget(id);
    this.#choices.drop(id);
    this.#release();
  }

  /** @throws EngineError `engine_failed` when it is loaded already */
  addPolicy(policy: Policy): void {
    this.#lanes.add(policy);
  }

  /** The grammar thread that requests with a grammar are held by from now on. */
  holdTo(constraints: Constraints): void {
    this.#choices.holdTo(constraints);
  }

  /** Whether a version is loaded; one that was about to be freed is kept after all. */
  keep(version: number): boolean {
    return this.#lanes.keep(version);
  }

  /** @throws EngineError `unknown_version`; RangeError where there is no memory for rows to cross over: they stay */
  setCurrent(version: number): void {
    this.#lanes.setCurrent(version);
    this.#release();
  }

  /** @throws EngineError `unknown_version` */
  retire(version: number): void {
    this.#lanes.retire(version);
    this.#release();
  }

  /** There was nothing to do for a while: memory that only requests need goes back. */
  rest(): void {
    this.#lanes.rest(true);
  }

  stats(): EngineStats {
    const lanes = [...this.#lanes];
    return {
      running: lanes.reduce((sum, { work }) => sum + work.length, 0),
      waiting: this.#waiting.length,
      currentVersion: this.#lanes.current.policy.version,
      loadedVersions: this.#lanes.versions,
      kvBytes: lanes.reduce((sum, lane) => sum + lane.cache.bytes, 0),
      prefixBytes: this.#prefixes.bytes,
      promptTokens: this.#promptTokens,
      reusedTokens: this.#reusedTokens,
      completionTokens: this.#choices.tokens,
      decodeSteps: this.#decodeSteps,
    };
  }

  /** Does one thing. False: there was nothing to do. */
  async step(): Promise<boolean> {
    this.#expire();
    const { limits } = this.#parts;
    const { reader } = this.#lanes;
    const isGenerating = [...this.#lanes].some(({ rows }) => rows.length > 0);
    const action = nextAction({
      waiting: [...this.#waiting],
      prefilling: reader?.reading ? { id: reader.reading.job.id, done: reader.reading.done, length: reader.reading.job.request.promptTokenIds.length } : null,
      unstarted: this.#choices.unstarted,
      lanes: Array.from(this.#lanes, ({ id, rows }) => ({ id, rows: rows.length })),
      round: this.#round,
    }, isGenerating ? { ...limits, chunk: this.#pace.tokens, prefillBudget: this.#pace.tokens } : limits);
    switch (action.type) {
      case 'idle': return false;
      case 'nextRound': this.#round = FRESH_ROUND; break;
      case 'admit': this.#admit(); break;
      case 'start': this.#choices.beginNext(); break;
      case 'prefill': await this.#prefill(action.from, action.to); break;
      case 'decode': await this.#decode(action.lane); break;
    }
    this.#release();
    return true;
  }

  #admit(): void {
    const next = this.#waiting.next();
    if (!next) return;
    const { id, request } = next;
    const { limits, drawSeed, emit, now } = this.#parts;
    const { lane, policy } = request.version === null ? this.#lanes.current : this.#lanes.of(request.version);
    const job: Job = {
      id, request, seed: request.sampling.seed ?? drawSeed(),
      tokenLimit: tokenLimit(request.promptTokenIds.length, request.maxTokens, limits),
      unstarted: request.n, open: request.n, read: 0, isReusable: true, prompt: null,
    };
    emit(id, { type: 'started', queueMs: now() - next.submittedMs });
    this.#choices.withMemory(job, () => { this.#read(lane, policy, job); });
  }

  /** Where all of a prompt is known, its first choice begins at once. */
  #read(lane: Lane, policy: Policy, job: Job): void {
    const { length, logits } = readBehindKnown(this.#prefixes, lane, policy, job);
    this.#reusedTokens += length;
    this.#round = { ...this.#round, prefilled: this.#round.prefilled + Math.ceil(length / COPIES_PER_READ) };
    if (logits) this.#choices.beginFirst(lane, job, policy, logits);
  }

  /** Reads a piece of the prompt; after its last piece the first choice begins. */
  async #prefill(from: number, to: number): Promise<void> {
    const lane = this.#lanes.reader;
    const reading = lane?.reading;
    if (!lane || !reading) return;
    const { job, policy } = reading;
    const tokenIds = job.request.promptTokenIds.subarray(from, to);
    const begunMs = this.#parts.now();
    const output = await this.#run(lane, [reading], { tokenIds, batch: 1, pasts: Int32Array.of(from), cache: lane.cache, slot: lane.rows.length, adapters: [policy.adapter] });
    if (!output) return;
    reading.done = to;
    this.#pace.took(to - from, this.#parts.now() - begunMs);
    this.#promptTokens += to - from;
    this.#round = { ...this.#round, prefilled: this.#round.prefilled + to - from };
    if (to < job.request.promptTokenIds.length) return;
    const last = output.logits.slice();
    keepPrompt(this.#prefixes, lane, last);
    this.#choices.beginFirst(lane, job, policy, last);
  }

  /** One token more for every row of a lane, whichever versions they are of. */
  async #decode(id: number): Promise<void> {
    this.#round = { ...this.#round, decoded: [...this.#round.decoded, id] };
    const lane = [...this.#lanes].find((known) => known.id === id);
    if (!lane) return;
    this.#growFor(lane);
    const rows = [...lane.rows];
    if (rows.length === 0) return;
    const output = await this.#run(lane, rows, {
      tokenIds: Int32Array.from(rows, ({ sampled }) => sampled.at(-1) ?? 0), batch: rows.length,
      pasts: Int32Array.from(rows, ({ length }) => length), cache: lane.cache, slot: 0, adapters: rows.map(({ policy }) => policy.adapter),
      temperatures: Float32Array.from(rows, ({ job }) => job.request.sampling.temperature || 1),
      mayDependOnBatch: rows.every(({ job }) => job.request.sampling.seed === null),
    });
    if (!output) return;
    this.#decodeSteps++;
    this.#choices.advance(lane, rows, output);
  }

  /** Runs the model. Null: it failed, and with it this work; the engine itself goes on. */
  async #run(lane: Lane, work: Lane['work'], input: RunInput): Promise<StepOutput | null> {
    try {
      return await lane.runner.run(input);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const versions = new Map(work.map(({ job, policy }) => [job, policy.version]));
      for (const [job, version] of versions) this.#choices.fail(job, { code: 'engine_failed', message: `Version ${version} could not be run: ${reason}` });
      return null;
    }
  }

  /** Room for one more position in every row; where memory ends, the rows that need it fail and the others go on. */
  #growFor(lane: Lane): void {
    const longest = Math.max(...lane.rows.map(({ length }) => length));
    try {
      lane.reserve(lane.rows.length, longest + 1);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      const starved = new Set(lane.rows.filter((row) => row.length >= lane.cache.positions).map(({ job }) => job));
      for (const job of starved) this.#choices.fail(job, outOfMemory);
    }
  }

  #expire(): void {
    const { limits: { maxQueueMs }, now, emit } = this.#parts;
    for (const { id } of this.#waiting.expire(now() - maxQueueMs)) {
      emit(id, { type: 'failed', error: { code: 'queue_timeout', message: `The request has waited for ${maxQueueMs / 1000} s, and no row became free. Try again later.` } });
    }
  }

  #unknown(version: number | null): Failure | null {
    if (version === null || this.#lanes.accepts(version)) return null;
    return { code: 'unknown_version', message: this.#lanes.unknown(version) };
  }

  #release(): void {
    const freed = this.#lanes.release((version) => [...this.#waiting].some(({ request }) => request.version === version));
    for (const version of freed) this.#prefixes.drop(version);
  }
}

/** Copying what is known of so many tokens takes less time than reading one. */
const COPIES_PER_READ = 32;
