/**
 * From steps to micro-batches, all pure. Steps that share a token prefix become one training row (a *sequence*): a call whose
 * prompt starts with an earlier call's prompt + completion continues that call's row, so the shared prefix is computed once.
 */
import type { MicroBatch } from './learner.ts';

/** What batching needs to know of a step. */
export interface BatchStep {
  readonly id: string;
  /** Rows never mix attempts. */
  readonly attemptId: string;
  readonly promptTokenIds: Int32Array;
  readonly completionTokenIds: Int32Array;
  /** Logits are divided by this before the softmax. */
  readonly temperature: number;
}

/** A run of trained tokens within a row: one step's completion. */
export interface Segment {
  /** Index into the steps given to `mergeSteps`. */
  readonly step: number;
  /** Position of the first trained token in the row (> 0); it is predicted at the position before. */
  readonly start: number;
  readonly length: number;
  readonly temperature: number;
}

export interface Row {
  readonly tokenIds: Int32Array;
  readonly segments: readonly Segment[];
}

/**
 * Merges steps (in the order of their calls) into rows. Every step is one segment of exactly one row. When two steps continue the
 * same step, the first one continues its row and the other starts a row of its own.
 *
 * Throws if a step has an empty prompt (nothing predicts its first token) or no completion.
 */
export function mergeSteps(steps: readonly BatchStep[]): Row[] {
  const rows: { attemptId: string; tokenIds: Int32Array; segments: Segment[] }[] = [];
  const rowsOfAttempt = new Map<string, typeof rows>();
  for (const [index, step] of steps.entries()) {
    if (step.promptTokenIds.length === 0 || step.completionTokenIds.length === 0) throw new Error(`step ${step.id} has an empty prompt or completion`);
    const tokenIds = concatenate(step.promptTokenIds, step.completionTokenIds);
    const segment = { step: index, start: step.promptTokenIds.length, length: step.completionTokenIds.length, temperature: step.temperature };
    const siblings = rowsOfAttempt.get(step.attemptId) ?? [];
    rowsOfAttempt.set(step.attemptId, siblings);
    const parent = longest(siblings.filter((row) => isPrefix(row.tokenIds, step.promptTokenIds)));
    if (parent) {
      parent.tokenIds = tokenIds;
      parent.segments.push(segment);
    } else {
      const row = { attemptId: step.attemptId, tokenIds, segments: [segment] };
      siblings.push(row);
      rows.push(row);
    }
  }
  return rows;
}

/** The loss inputs of one trained token by name: token `token` of the completion of step `step`. */
export type TokenInputs = Readonly<Record<string, (step: number, token: number) => number>>;

export interface PlannedMicroBatch {
  readonly batch: MicroBatch;
  /** Entry m (of the first `tokens`) is token `tokenOfEntry[m]` of step `stepOfEntry[m]`; the entries after are padding. */
  readonly tokens: number;
  readonly stepOfEntry: Int32Array;
  readonly tokenOfEntry: Int32Array;
}

/**
 * Packs rows, longest first, into micro-batches of at most `maxTokens` padded tokens (a row longer than that stands alone).
 * Shapes are static for the graphs and few: time in steps of an eighth of an octave, batch a power of two, and one number of trained
 * tokens for all micro-batches of a shape. Padding entries have weight 0, position 0 and target 0; padding rows are token 0.
 */
export function planMicroBatches(rows: readonly Row[], maxTokens: number, inputs: TokenInputs): PlannedMicroBatch[] {
  const longestFirst = [...rows].sort((a, b) => b.tokenIds.length - a.tokenIds.length);
  const plans: { rows: Row[]; time: number; batch: number; shape: string }[] = [];
  for (let from = 0; from < longestFirst.length; ) {
    const time = paddedLength(longestFirst[from]?.tokenIds.length ?? 0);
    const fit = powerOfTwoFloor(maxTokens / time);
    const members = longestFirst.slice(from, from + fit);
    const batch = powerOfTwoCeil(members.length);
    plans.push({ rows: members, time, batch, shape: `${batch}x${time}` });
    from += members.length;
  }
  const capacities = new Map<string, number>();
  for (const { rows, shape } of plans) capacities.set(shape, Math.max(capacities.get(shape) ?? 0, paddedLength(trainedTokens(rows))));
  return plans.map((plan) => fill(plan.rows, plan.batch, plan.time, capacities.get(plan.shape) ?? 0, inputs));
}

/** Rounds up to a multiple of max(32, an eighth of the largest power of two below): at most 12.5 % padding past 256. */
export function paddedLength(length: number): number {
  const unit = Math.max(32, powerOfTwoFloor(length) / 8);
  return Math.ceil(length / unit) * unit;
}

function fill(rows: readonly Row[], batch: number, time: number, capacity: number, inputs: TokenInputs): PlannedMicroBatch {
  const tokenIds = new Int32Array(batch * time);
  const positions = new Int32Array(capacity);
  const targets = new Int32Array(capacity);
  const temperature = new Float32Array(capacity).fill(1);
  const stepOfEntry = new Int32Array(capacity).fill(-1);
  const tokenOfEntry = new Int32Array(capacity).fill(-1);
  const columns = Object.entries(inputs).map(([name, value]) => ({ name, value, data: new Float32Array(capacity) }));
  let entry = 0;
  for (const [b, row] of rows.entries()) {
    tokenIds.set(row.tokenIds, b * time);
    for (const segment of row.segments) {
      for (let token = 0; token < segment.length; token++, entry++) {
        const at = segment.start + token;
        positions[entry] = b * time + at - 1;
        targets[entry] = row.tokenIds[at] as number; // a segment lies within its row
        temperature[entry] = segment.temperature;
        stepOfEntry[entry] = segment.step;
        tokenOfEntry[entry] = token;
        for (const column of columns) column.data[entry] = column.value(segment.step, token);
      }
    }
  }
  const perToken = Object.fromEntries(columns.map(({ name, data }) => [name, data]));
  return { batch: { batch, time, tokenIds, positions, targets, temperature, perToken }, tokens: entry, stepOfEntry, tokenOfEntry };
}

function trainedTokens(rows: readonly Row[]): number {
  return rows.reduce((sum, row) => sum + row.segments.reduce((own, segment) => own + segment.length, 0), 0);
}

function longest<T extends { tokenIds: Int32Array }>(rows: readonly T[]): T | undefined {
  return rows.reduce<T | undefined>((best, row) => (best === undefined || row.tokenIds.length > best.tokenIds.length ? row : best), undefined);
}

function isPrefix(prefix: Int32Array, ids: Int32Array): boolean {
  return prefix.length <= ids.length && prefix.every((id, i) => ids[i] === id);
}

function concatenate(a: Int32Array, b: Int32Array): Int32Array {
  const out = new Int32Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}

function powerOfTwoFloor(n: number): number {
  return 2 ** Math.floor(Math.log2(Math.max(1, n)));
}

function powerOfTwoCeil(n: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, n)));
}
