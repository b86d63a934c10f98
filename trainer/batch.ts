/**
 * From steps to micro-batches, all pure. Steps that share a token prefix become one training row (a *sequence*): a call whose
 * prompt starts with an earlier call's prompt + completion continues that call's row, so the shared prefix is computed once.
 */
import type { MicroBatch } from './learner.ts';
import { growPrefixTrees, type PrefixTree } from './prefix-trees.ts';

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
  /** Entry m of the batch's M is token `tokenOfEntry[m]` of the completion of step `stepOfEntry[m]`. */
  readonly stepOfEntry: Int32Array;
  readonly tokenOfEntry: Int32Array;
}

/**
 * Packs rows, put together where they begin alike, longest first (what does not fit fails at once), into micro-batches of at most `maxTokens` padded tokens; a row longer
 * than that stands alone. Rows of like length meet, so little is padding. Padding is token 0 at a row's end, where no trained token sees it.
 */
export function planMicroBatches(rows: readonly Row[], maxTokens: number, inputs: TokenInputs): PlannedMicroBatch[] {
  const longestFirst = growPrefixTrees(rows, maxTokens).sort((a, b) => b.tokenIds.length - a.tokenIds.length);
  const plans: PlannedMicroBatch[] = [];
  for (let from = 0; from < longestFirst.length; ) {
    const time = paddedLength(longestFirst[from]?.tokenIds.length ?? 0);
    const members = longestFirst.slice(from, from + Math.max(1, Math.floor(maxTokens / time)));
    plans.push(fill(members, time, inputs));
    from += members.length;
  }
  return plans;
}

/** Rounds up to a multiple of max(16, an eighth of the largest power of two below), so that there are few different lengths to prepare for. */
export function paddedLength(length: number): number {
  const unit = Math.max(16, 2 ** Math.floor(Math.log2(Math.max(1, length))) / 8);
  return Math.ceil(length / unit) * unit;
}

function fill(trees: readonly PrefixTree[], time: number, inputs: TokenInputs): PlannedMicroBatch {
  const trained = trees.reduce((sum, { rows }) => sum + rows.reduce((own, { row }) => own + trainedTokens(row), 0), 0);
  const tokenIds = new Int32Array(trees.length * time);
  const places = new Int32Array(trees.length * time);
  const seenUntil = new Int32Array(trees.length * time).fill(time);
  const positions = new Int32Array(trained);
  const targets = new Int32Array(trained);
  const temperature = new Float32Array(trained);
  const stepOfEntry = new Int32Array(trained);
  const tokenOfEntry = new Int32Array(trained);
  const sequences = new Int32Array(trained);
  const columns = Object.entries(inputs).map(([name, value]) => ({ name, value, data: new Float32Array(trained) }));
  let entry = 0;
  let sequence = 0;
  for (const [b, tree] of trees.entries()) {
    tokenIds.set(tree.tokenIds, b * time);
    places.set(tree.places, b * time);
    seenUntil.set(tree.seenUntil, b * time);
    for (const { segment, row, at } of tree.rows.flatMap((placed) => placed.row.segments.map((segment) => ({ ...placed, segment })))) {
      for (let token = 0; token < segment.length; token++, entry++) {
        const place = segment.start + token;
        positions[entry] = b * time + (at[place - 1] as number); // a segment lies within its row, past its first token
        targets[entry] = row.tokenIds[place] as number;
        temperature[entry] = segment.temperature;
        stepOfEntry[entry] = segment.step;
        tokenOfEntry[entry] = token;
        sequences[entry] = sequence;
        for (const column of columns) column.data[entry] = column.value(segment.step, token);
      }
      sequence++;
    }
  }
  const perToken = Object.fromEntries(columns.map(({ name, data }) => [name, data]));
  return { batch: { batch: trees.length, time, tokenIds, positions, targets, temperature, perToken, sequences, branches: { places, seenUntil } }, stepOfEntry, tokenOfEntry };
}

export function trainedTokens(row: Row): number {
  return row.segments.reduce((sum, segment) => sum + segment.length, 0);
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
