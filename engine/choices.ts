/** From logits to tokens: how choices begin, go on and end in the rows of lanes. */
import { draw } from './draw.ts';
import type { GenerateRequest } from './engine.ts';
import { GrammarError, type Constraint, type Constraints } from './grammar/constraint.ts';
import { newRow, type Job, type Lane, type Row } from './lane.ts';
import type { Policy } from './policy.ts';
import type { PrefixCache } from './prefix-cache.ts';
import type { Failure, RequestEvent } from './protocol.ts';
import { keepRow } from './reuse.ts';
import { NoDistributionError, type Weighed } from './sampler.ts';
import { outputRows, type StepOutput } from './step-output.ts';

export interface ChoicesParts {
  readonly lanes: Iterable<Lane>;
  readonly prefixes: PrefixCache;
  readonly emit: (id: number, event: RequestEvent) => void;
}

export class Choices {
  readonly #parts: ChoicesParts;
  #unstarted: Job[] = [];
  #constraints: Constraints | null = null;
  #tokens = 0;

  constructor(parts: ChoicesParts) {
    this.#parts = parts;
  }

  /** Jobs with choices that have no row yet, oldest first. */
  get unstarted(): readonly Job[] {
    return this.#unstarted;
  }

  /** Sampled so far. */
  get tokens(): number {
    return this.#tokens;
  }

  /** The grammar thread that requests with a grammar are held by from now on. */
  holdTo(constraints: Constraints): void {
    this.#constraints = constraints;
  }

  /** The prompt that a lane was reading is known: its first choice begins where it lies. @param logits after it, kept */
  beginFirst(lane: Lane, job: Job, policy: Policy, logits: Float32Array): void {
    job.prompt = { logits, version: policy.version };
    lane.finishReading(newRow(job, policy));
    this.#unstarted.push(job);
    this.#begin(lane, lane.rows.length - 1);
    this.#forgetStarted();
  }

  /** Another choice of a prompt that was read gets a row of its own, with a copy of the prompt from a sibling. */
  beginNext(): void {
    const job = this.#unstarted[0];
    if (!job) return;
    for (const lane of this.#parts.lanes) {
      const sibling = lane.rows.findIndex((row) => row.job === job);
      const policy = lane.rows[sibling]?.policy;
      if (!policy) continue;
      this.withMemory(job, () => {
        lane.add(newRow(job, policy), lane.cache, sibling);
        this.#begin(lane, lane.rows.length - 1);
      });
      break;
    }
    this.#forgetStarted();
  }

  /** One more token of each of these rows, which the lane has. @param output the step's, of these rows */
  advance(lane: Lane, rows: readonly Row[], output: StepOutput): void {
    const vocab = output.logits.length / rows.length;
    // Every row is longer by what this step appended, before any of them ends and another is moved into its slot.
    for (const row of rows) row.length++;
    for (const [index, row] of rows.entries()) {
      const slot = lane.rows.indexOf(row);
      if (slot < 0) continue; // its request failed with a sibling
      const weighed = outputRows(output, vocab, index, index + 1);
      if (this.#sample(row, weighed.logits, weighed, row.policy.version)) this.#end(lane, slot);
    }
    this.#forgetStarted();
  }

  /** Frees all rows of a request that goes no further. */
  drop(id: number): void {
    this.#unstarted = this.#unstarted.filter((job) => job.id !== id);
    for (const lane of this.#parts.lanes) {
      if (lane.reading?.job.id === id) lane.stopReading();
      for (let slot = lane.rows.length - 1; slot >= 0; slot--) if (lane.rows[slot]?.job.id === id) this.#leave(lane, slot);
    }
  }

  fail(job: Job, error: Failure): void {
    job.isReusable = false;
    this.drop(job.id);
    this.#parts.emit(job.id, { type: 'failed', error });
  }

  /** Where there is no memory for what a request needs, it fails and the others go on. */
  withMemory(job: Job, work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.fail(job, outOfMemory);
    }
  }

  /** Draws a choice's first token. */
  #begin(lane: Lane, slot: number): void {
    const row = lane.rows[slot];
    const prompt = row?.job.prompt;
    if (!row || !prompt) return;
    row.constraint = this.#constraintOf(row.job.request);
    if (this.#sample(row, prompt.logits, null, prompt.version)) this.#end(lane, slot);
  }

  #constraintOf({ grammar, stopTokenIds }: GenerateRequest): Constraint | null {
    if (grammar === undefined) return null;
    if (this.#constraints === null) throw new Error('A request with a grammar came before its thread did.');
    return this.#constraints.begin(grammar, stopTokenIds);
  }

  /** A row that ended goes on as the next choice of its request, from the prompt that it holds already, or leaves. */
  #end(lane: Lane, slot: number): void {
    const { job, policy } = lane.rows[slot] ?? {};
    if (job && policy && job.unstarted > 0) {
      keepRow(this.#parts.prefixes, lane, slot);
      lane.rows[slot] = newRow(job, policy);
      this.#begin(lane, slot);
    } else {
      this.#leave(lane, slot);
    }
  }

  #leave(lane: Lane, slot: number): void {
    lane.rows[slot]?.constraint?.end();
    keepRow(this.#parts.prefixes, lane, slot);
    lane.remove(slot);
  }

  /** Samples and reports one token. True: the choice has ended. */
  #sample(row: Row, logits: Float32Array, weighed: Weighed | null, version: number): boolean {
    const { job, choice } = row;
    const { emit } = this.#parts;
    try {
      const { token, reason } = draw(row, logits, weighed, version);
      this.#tokens++;
      emit(job.id, { type: 'token', choice, token });
      if (!reason) return false;
      emit(job.id, { type: 'finished', choice, reason });
    } catch (error) {
      if (!(error instanceof NoDistributionError || error instanceof GrammarError)) throw error;
      this.fail(job, { code: 'engine_failed', message: `Version ${version}: ${error.message}.` });
      return false;
    }
    if (--job.open === 0) emit(job.id, { type: 'done' });
    return true;
  }

  #forgetStarted(): void {
    this.#unstarted = this.#unstarted.filter((job) => job.unstarted > 0);
  }
}

export const outOfMemory: Failure = { code: 'out_of_memory', message: 'There is no memory for the keys and values of this request. Lower maxContext or maxRows, or send shorter prompts.' };
