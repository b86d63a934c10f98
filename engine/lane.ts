/**
 * One set of weights at work: the rows of all policies that share it, and their keys and values. Decoding rows are slots 0 … n−1 of the cache, without holes;
 * the prompt being read, if it is this lane's, is slot n.
 */
import type { GenerateRequest } from './engine.ts';
import type { Constraint } from './grammar/constraint.ts';
import { copyRow, KvCache, type KvShape } from './kv.ts';
import { seenAtStart, type Seen } from './penalties.ts';
import type { Policy } from './policy.ts';
import type { Runner } from './runner.ts';

/** A request that left the queue. */
export interface Job {
  readonly id: number;
  readonly request: GenerateRequest;
  readonly seed: number;
  /** Most tokens of each choice. */
  readonly tokenLimit: number;
  /** Choices that have no row yet. */
  unstarted: number;
  /** Choices that have not ended. */
  open: number;
  /** Leading tokens of the prompt that were read, and not taken over as they were generated: the rest of it follows from them. */
  read: number;
  /** Whether others may go on from its keys and values: not where one version computed some of them and another the rest. */
  isReusable: boolean;
  /** Logits after the prompt and the version that computed them: every choice's first token is drawn from them. */
  prompt: { readonly logits: Float32Array; readonly version: number } | null;
}

/** A choice that is being generated. */
export interface Row {
  readonly job: Job;
  readonly choice: number;
  /** What computes its next token. */
  policy: Policy;
  /** Positions in the cache. */
  length: number;
  /** What was sampled so far; the last of it is not in the cache yet. */
  readonly sampled: number[];
  /** What its penalties speak of; null where there are none. */
  readonly seen: Seen | null;
  /** What holds it to its request's grammar; null where there is none. */
  constraint: Constraint | null;
}

export interface Reading {
  readonly job: Job;
  policy: Policy;
  /** Prompt tokens in the cache. */
  done: number;
}

export interface LaneOptions {
  readonly shape: KvShape;
  readonly maxContext: number;
  readonly maxRows: number;
}

/** Of a lane that gets its first row. */
const FIRST_ROWS = 16;

export class Lane {
  /** Unique among lanes. */
  readonly id: number;
  readonly runner: Runner;
  rows: Row[] = [];
  reading: Reading | null = null;
  cache: KvCache;

  constructor(id: number, runner: Runner, { shape, maxContext, maxRows }: LaneOptions) {
    this.id = id;
    this.runner = runner;
    this.cache = new KvCache(shape, maxContext, Math.min(FIRST_ROWS, maxRows));
  }

  /** Rows, and the prompt being read. */
  get work(): readonly (Row | Reading)[] {
    return this.reading ? [...this.rows, this.reading] : this.rows;
  }

  /** Room for every slot, one more row and `positions`. @throws RangeError when there is no memory */
  reserve(slots: number, positions: number): void {
    this.cache.reserve(slots, positions, this.#lengths());
  }

  /** Begins with a prompt in the slot after the rows; what is known of it is there at once. @throws RangeError */
  read(job: Job, policy: Policy, known: { readonly length: number; load(cache: KvCache, slot: number): void }): void {
    this.reserve(this.rows.length + 1, job.request.promptTokenIds.length + 1);
    known.load(this.cache, this.rows.length);
    this.reading = { job, policy, done: known.length };
  }

  /** The prompt that was read becomes a row where it lies. */
  finishReading(row: Row): void {
    this.reading = null;
    this.rows.push(row);
  }

  /** Adds a row that begins with the first `row.length` positions of another lane's or this lane's slot. @throws RangeError */
  add(row: Row, from: KvCache, fromSlot: number): void {
    const slot = this.rows.length;
    this.reserve(slot + (this.reading ? 2 : 1), row.length + 1);
    // Growing replaced this lane's buffers inside the same cache object, so `from` is still right.
    if (this.reading) copyRow(this.cache, slot, this.cache, slot + 1, this.reading.done);
    copyRow(from, fromSlot, this.cache, slot, row.length);
    this.rows.push(row);
  }

  /** Ends a row; the last one takes its slot, and the prompt being read moves down. */
  remove(slot: number): void {
    const last = this.rows.length - 1;
    const moved = this.rows.pop();
    if (moved && slot !== last) {
      copyRow(this.cache, last, this.cache, slot, moved.length);
      this.rows[slot] = moved;
    }
    if (this.reading) copyRow(this.cache, last + 1, this.cache, last, this.reading.done);
  }

  stopReading(): void {
    this.reading = null;
  }

  /**
   * Makes a policy of this lane's go on with what `moves` holds for. Where that is done here already nothing is copied; nor where all of another lane's moves to an empty one: then
   * the memory changes hands.
   * @throws RangeError
   */
  takeOver(policy: Policy, lanes: Iterable<Lane>, moves: (job: Job) => boolean): void {
    for (const other of lanes) {
      for (const work of other.work) {
        if (work.policy === policy || !moves(work.job)) continue;
        work.job.isReusable = false;
        if (other === this) work.policy = policy;
      }
      if (other !== this) this.#takeFrom(other, policy, moves);
    }
  }

  #takeFrom(other: Lane, policy: Policy, moves: (job: Job) => boolean): void {
    if (this.work.length === 0 && other.work.every(({ job }) => moves(job))) {
      [this.cache, other.cache] = [other.cache, this.cache];
      [this.rows, other.rows] = [other.rows, []];
      [this.reading, other.reading] = [other.reading, null];
      for (const work of this.work) work.policy = policy;
      return;
    }
    for (let slot = other.rows.length - 1; slot >= 0; slot--) {
      const row = other.rows[slot];
      if (!row || !moves(row.job)) continue;
      this.add(row, other.cache, slot);
      row.policy = policy;
      other.remove(slot);
    }
    const { reading } = other;
    if (!reading || !moves(reading.job)) return;
    this.reserve(this.rows.length + 1, reading.job.request.promptTokenIds.length + 1);
    copyRow(other.cache, other.rows.length, this.cache, this.rows.length, reading.done);
    this.reading = reading;
    reading.policy = policy;
    other.stopReading();
  }

  /** Gives the memory of its keys and values back, if nothing is at work. */
  rest(): void {
    if (this.cache.rows > 0 && this.work.length === 0) this.cache.clear();
  }

  #lengths(): number[] {
    const lengths = this.rows.map(({ length }) => length);
    return this.reading ? [...lengths, this.reading.done] : lengths;
  }
}

/** The job's next choice. */
export function newRow(job: Job, policy: Policy): Row {
  const choice = job.request.n - job.unstarted;
  job.unstarted--;
  const { promptTokenIds, sampling } = job.request;
  return { job, choice, policy, length: promptTokenIds.length, sampled: [], seen: seenAtStart(promptTokenIds, sampling), constraint: null };
}
