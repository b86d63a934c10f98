/** Continuous batching: asks the scheduler what is next and does it, one action at a time. Owns every request and every row. */
import { draw } from './draw.ts';
import type { EngineOptions, EngineStats, GenerateRequest } from './engine.ts';
import { GrammarError, type Constraint, type Constraints } from './grammar/constraint.ts';
import { newRow, type Job, type Lane, type Row } from './lane.ts';
import { Lanes } from './lanes.ts';
import type { KvShape } from './kv.ts';
import type { Policy } from './policy.ts';
import { Pace } from './pace.ts';
import { PrefixCache } from './prefix-cache.ts';
import type { Failure, RequestEvent } from './protocol.ts';
import type { RunInput } from './runner.ts';
import { keepPrompt, keepRow, readBehindKnown } from './reuse.ts';
import { NoDistributionError } from './sampler.ts';
import { FRESH_ROUND, nextAction, refusal, tokenLimit, type Limits, type Round } from './scheduler.ts';
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
  readonly #waiting = new WaitingLine();
  readonly #pace: Pace;
  /** Jobs with choices that have no row yet, oldest first. */
  #unstarted: Job[] = [];
  #round: Round = FRESH_ROUND;
  #constraints: Constraints | null = null;
  #promptTokens = 0;
  #reusedTokens = 0;
  #completionTokens = 0;
  #decodeSteps = 0;

  constructor(parts: BatcherParts) {
    this.#parts = parts;
    this.#lanes = new Lanes(parts.base, { shape: parts.shape, maxContext: parts.limits.maxContext, maxRows: parts.limits.maxRows, swap: parts.swap });
    this.#pace = new Pace(parts.maxStallMs, parts.limits.chunk);
    this.#prefixes = new PrefixCache(parts.shape, parts.prefixCacheBytes);
  }

  submit(id: number, request: GenerateRequest, submittedMs: number): void {
    const refused = refusal(request.promptTokenIds.length, this.#waiting.length, this.#parts.limits) ?? this.#unknown(request.version);
    if (refused) this.#parts.emit(id, { type: 'failed', error: refused });
    else this.#waiting.add({ id, request, submittedMs });
  }

  /** Forgets a request and frees its rows; one that has ended is none. */
  abort(id: number): void {
    this.#waiting.forget(id);
    this.#unstarted = this.#unstarted.filter((job) => job.id !== id);
    for (const lane of this.#lanes) {
      if (lane.reading?.job.id === id) lane.stopReading();
      for (let slot = lane.rows.length - 1; slot >= 0; slot--) if (lane.rows[slot]?.job.id === id) this.#leave(lane, slot);
    }
    this.#release();
  }

  /** @throws EngineError `engine_failed` when it is loaded already */
  addPolicy(policy: Policy): void {
    this.#lanes.add(policy);
  }

  /** The grammar thread that requests with a grammar are held by from now on. */
  holdTo(constraints: Constraints): void {
    this.#constraints = constraints;
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

  stats(): EngineStats {
    const lanes = [...this.#lanes];
    return {
      running: lanes.reduce((sum, lane) => sum + lane.rows.length + (lane.reading ? 1 : 0), 0),
      waiting: this.#waiting.length,
      currentVersion: this.#lanes.current.policy.version,
      loadedVersions: this.#lanes.versions,
      kvBytes: lanes.reduce((sum, lane) => sum + lane.cache.bytes, 0),
      prefixBytes: this.#prefixes.bytes,
      promptTokens: this.#promptTokens,
      reusedTokens: this.#reusedTokens,
      completionTokens: this.#completionTokens,
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
      unstarted: this.#unstarted,
      lanes: Array.from(this.#lanes, (lane) => ({ version: lane.policy.version, rows: lane.rows.length })),
      round: this.#round,
    }, isGenerating ? { ...limits, chunk: this.#pace.tokens, prefillBudget: this.#pace.tokens } : limits);
    switch (action.type) {
      case 'idle': return false;
      case 'nextRound': this.#round = FRESH_ROUND; break;
      case 'admit': this.#admit(); break;
      case 'start': this.#start(); break;
      case 'prefill': await this.#prefill(action.from, action.to); break;
      case 'decode': await this.#decode(this.#lanes.of(action.version)); break;
    }
    this.#unstarted = this.#unstarted.filter((job) => job.unstarted > 0);
    this.#release();
    return true;
  }

  #admit(): void {
    const next = this.#waiting.next();
    if (!next) return;
    const { id, request } = next;
    const { limits, drawSeed, emit, now } = this.#parts;
    const lane = request.version === null ? this.#lanes.current : this.#lanes.of(request.version);
    const job: Job = {
      id, request, seed: request.sampling.seed ?? drawSeed(),
      tokenLimit: tokenLimit(request.promptTokenIds.length, request.maxTokens, limits),
      unstarted: request.n, open: request.n, read: 0, isReusable: true, prompt: null,
    };
    emit(id, { type: 'started', queueMs: now() - next.submittedMs });
    this.#withMemory(job, () => { this.#read(lane, job); });
  }

  /** Where all of a prompt is known, its first choice begins at once. */
  #read(lane: Lane, job: Job): void {
    const { length, logits } = readBehindKnown(this.#prefixes, lane, job);
    this.#reusedTokens += length;
    this.#round = { ...this.#round, prefilled: this.#round.prefilled + Math.ceil(length / COPIES_PER_READ) };
    if (logits) this.#finishReading(lane, job, logits);
  }

  /** Reads a piece of the prompt; after its last piece the first choice begins. */
  async #prefill(from: number, to: number): Promise<void> {
    const lane = this.#lanes.reader;
    const reading = lane?.reading;
    if (!lane || !reading) return;
    const { job } = reading;
    const tokenIds = job.request.promptTokenIds.subarray(from, to);
    const begunMs = this.#parts.now();
    const logits = await this.#run(lane, [job], { tokenIds, batch: 1, pasts: Int32Array.of(from), cache: lane.cache, slot: lane.rows.length });
    if (!logits) return;
    reading.done = to;
    this.#pace.took(to - from, this.#parts.now() - begunMs);
    this.#promptTokens += to - from;
    this.#round = { ...this.#round, prefilled: this.#round.prefilled + to - from };
    if (to < job.request.promptTokenIds.length) return;
    const last = logits.slice();
    keepPrompt(this.#prefixes, lane, job, last);
    this.#finishReading(lane, job, last);
  }

  #finishReading(lane: Lane, job: Job, logits: Float32Array): void {
    job.prompt = { logits, version: lane.policy.version };
    lane.finishReading(newRow(job));
    this.#unstarted.push(job);
    this.#begin(lane, lane.rows.length - 1);
  }

  /** Another choice of a prompt that was read gets a row of its own, with a copy of the prompt from a sibling. */
  #start(): void {
    const job = this.#unstarted[0];
    if (!job) return;
    for (const lane of this.#lanes) {
      const sibling = lane.rows.findIndex((row) => row.job === job);
      if (sibling < 0) continue;
      this.#withMemory(job, () => {
        lane.add(newRow(job), lane.cache, sibling);
        this.#begin(lane, lane.rows.length - 1);
      });
      return;
    }
  }

  async #decode(lane: Lane): Promise<void> {
    this.#round = { ...this.#round, decoded: [...this.#round.decoded, lane.policy.version] };
    this.#growFor(lane);
    const { rows, cache, policy } = lane;
    if (rows.length === 0) return;
    const logits = await this.#run(lane, rows.map(({ job }) => job), {
      tokenIds: Int32Array.from(rows, (row) => row.sampled.at(-1) ?? 0), batch: rows.length,
      pasts: Int32Array.from(rows, (row) => row.length), cache, slot: 0,
    });
    if (!logits) return;
    this.#decodeSteps++;
    const vocab = logits.length / rows.length;
    // Every row is longer by what this step appended, before any of them ends and another is moved into its slot.
    for (const row of rows) row.length++;
    for (const [index, row] of [...rows].entries()) {
      const slot = lane.rows.indexOf(row);
      if (slot < 0) continue; // its request failed with a sibling
      if (this.#sample(row, logits.subarray(index * vocab, (index + 1) * vocab), policy.version)) this.#endRow(lane, slot);
    }
  }

  /** Runs the model. Null: it failed, and with it these jobs; the engine itself goes on. */
  async #run(lane: Lane, jobs: readonly Job[], input: RunInput): Promise<Float32Array | null> {
    try {
      return await lane.policy.run(input);
    } catch (error) {
      const message = `Version ${lane.policy.version} could not be run: ${error instanceof Error ? error.message : String(error)}`;
      for (const job of new Set(jobs)) this.#fail(job, { code: 'engine_failed', message });
      return null;
    }
  }

  /** Draws a choice's first token. */
  #begin(lane: Lane, slot: number): void {
    const row = lane.rows[slot];
    const prompt = row?.job.prompt;
    if (row) row.constraint = this.#constraintOf(row.job);
    if (row && prompt && this.#sample(row, prompt.logits, prompt.version)) this.#endRow(lane, slot);
  }

  #constraintOf({ request: { grammar, stopTokenIds } }: Job): Constraint | null {
    if (grammar === undefined) return null;
    if (this.#constraints === null) throw new Error('A request with a grammar came before its thread did.');
    return this.#constraints.begin(grammar, stopTokenIds);
  }

  /** A row that ended goes on as the next choice of its request, from the prompt that it holds already, or leaves. */
  #endRow(lane: Lane, slot: number): void {
    const { job } = lane.rows[slot] ?? {};
    if (job && job.unstarted > 0) {
      keepRow(this.#prefixes, lane, slot);
      lane.rows[slot] = newRow(job);
      this.#begin(lane, slot);
    } else {
      this.#leave(lane, slot);
    }
  }

  #leave(lane: Lane, slot: number): void {
    lane.rows[slot]?.constraint?.end();
    keepRow(this.#prefixes, lane, slot);
    lane.remove(slot);
  }

  /** Samples and reports one token. True: the choice has ended. */
  #sample(row: Row, logits: Float32Array, version: number): boolean {
    const { job, choice } = row;
    const { emit } = this.#parts;
    try {
      const { token, reason } = draw(row, logits, version);
      this.#completionTokens++;
      emit(job.id, { type: 'token', choice, token });
      if (!reason) return false;
      emit(job.id, { type: 'finished', choice, reason });
    } catch (error) {
      if (!(error instanceof NoDistributionError || error instanceof GrammarError)) throw error;
      this.#fail(job, { code: 'engine_failed', message: `Version ${version}: ${error.message}.` });
      return false;
    }
    if (--job.open === 0) emit(job.id, { type: 'done' });
    return true;
  }

  /** Room for one more position in every row; where memory ends, the rows that need it fail and the others go on. */
  #growFor(lane: Lane): void {
    const longest = Math.max(...lane.rows.map(({ length }) => length));
    try {
      lane.reserve(lane.rows.length, longest + 1);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      const starved = new Set(lane.rows.filter((row) => row.length >= lane.cache.positions).map(({ job }) => job));
      for (const job of starved) this.#fail(job, outOfMemory);
    }
  }

  #withMemory(job: Job, work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.#fail(job, outOfMemory);
    }
  }

  #fail(job: Job, error: Failure): void {
    job.isReusable = false;
    this.abort(job.id);
    this.#parts.emit(job.id, { type: 'failed', error });
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

const outOfMemory: Failure = { code: 'out_of_memory', message: 'There is no memory for the keys and values of this request. Lower maxContext or maxRows, or send shorter prompts.' };
