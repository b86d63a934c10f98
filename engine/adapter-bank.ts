/**
 * Adapters that one base model serves, side by side: for each joint matrix one A `[capacity, in]` and one Bᵀ `[capacity, Σ out]` (`LORA_B_SCALE` of it), of which each adapter has some ranks. A step with
 * one adapter is fed its ranks as they lie; a step whose rows have several, the ranks from the first of them to the last, and a mask that leaves each row its own. So a
 * swap copies nothing, whatever else is being generated.
 */
import type { ModelConfig } from '../model/model.ts';
import { LORA_B_SCALE, names } from './decode-graph.ts';
import { adaptedMatrices, jointMatrices, rowsOf, type JointMatrix } from './joint-matrices.ts';
import type { Tensors, TensorView, TensorViews } from './session/session.ts';

/** By module: `a` `[rank, in]`, `b` `[out, rank]` with alpha multiplied in. */
export type AdapterMatrices = ReadonlyMap<string, AdapterFactors>;

export interface AdapterFactors {
  readonly a: Float32Array;
  readonly b: Float32Array;
  readonly rank: number;
}

/** Some ranks of the matrices of one kind; the same in every block. */
interface Span {
  readonly first: number;
  readonly rank: number;
}

/** Where an adapter lies, by kind of matrix. Places follow one another in every kind alike. */
export class AdapterPlace {
  readonly spans: ReadonlyMap<string, Span>;
  isFree = false;

  constructor(spans: ReadonlyMap<string, Span>) {
    this.spans = spans;
  }
}

interface Memory {
  readonly a: Float32Array;
  readonly bTransposed: Float32Array;
}

export class AdapterBank {
  readonly #matrices: readonly JointMatrix[];
  readonly #kinds: readonly string[];
  readonly #places: AdapterPlace[] = [];
  /** Ranks there is room for, by kind. */
  #capacity: ReadonlyMap<string, number>;
  #memory: ReadonlyMap<JointMatrix, Memory>;
  /** Feeds of places next to one another, by the first and the last. */
  readonly #views = new Map<AdapterPlace, Map<AdapterPlace, Tensors>>();

  /** @param targets projections that take an adapter */
  constructor(config: ModelConfig, targets: readonly string[]) {
    this.#matrices = [...adaptedMatrices(jointMatrices(config), targets)];
    this.#kinds = [...new Set(this.#matrices.map(({ kind }) => kind))];
    this.#capacity = new Map();
    this.#memory = this.#allocate(new Map());
  }

  /** Takes an adapter in; an empty one changes nothing. @throws RangeError where there is no memory */
  add(adapter: AdapterMatrices): AdapterPlace {
    const ranks = this.#ranksOf(adapter);
    const place = this.#reuse(ranks) ?? this.#append(ranks);
    for (const matrix of this.#matrices) this.#write(matrix, place, adapter);
    return place;
  }

  remove(place: AdapterPlace): void {
    place.isFree = true;
    while (this.#places.at(-1)?.isFree) this.#forget(this.#places.pop());
  }

  /** What a session for one adapter is fed. */
  feedsOf(place: AdapterPlace): Tensors {
    return this.#between(place, place);
  }

  /** What a session for rows of several adapters is fed. @param rows each one's adapter, null for none; one has one */
  feedsOfRows(rows: readonly (AdapterPlace | null)[]): { readonly factors: Tensors; readonly masks: TensorViews } {
    const used = this.#places.filter((place) => rows.includes(place));
    const first = used[0], last = used.at(-1);
    if (!first || !last) return { factors: { inputs: {}, outputs: {} }, masks: {} };
    const masks = this.#kinds.map((kind) => [names.rowMask(kind), maskOf(kind, rows, first, last)] as const);
    return { factors: this.#between(first, last), masks: Object.fromEntries(masks) };
  }

  #between(first: AdapterPlace, last: AdapterPlace): Tensors {
    const known = this.#views.get(first)?.get(last);
    if (known) return known;
    const views: Record<string, TensorView> = {};
    for (const matrix of this.#matrices) {
      const { a, bTransposed } = this.#memoryOf(matrix);
      const from = startOf(first, matrix.kind), to = endOf(last, matrix.kind), rows = rowsOf(matrix);
      views[names.loraA(matrix)] = { data: a.subarray(from * matrix.inner, to * matrix.inner), shape: [to - from, matrix.inner] };
      views[names.loraB(matrix)] = { data: bTransposed.subarray(from * rows, to * rows), shape: [to - from, rows] };
    }
    const ofFirst = this.#views.get(first) ?? new Map<AdapterPlace, Tensors>();
    const tensors = { inputs: views, outputs: {} };
    this.#views.set(first, ofFirst.set(last, tensors));
    return tensors;
  }

  /** A kind's rank is that of the matrix with most; at least one, so that there is something to multiply. */
  #ranksOf(adapter: AdapterMatrices): ReadonlyMap<string, number> {
    const ranks = new Map(this.#kinds.map((kind) => [kind, 1]));
    for (const matrix of this.#matrices) {
      const rank = partsOf(matrix, adapter).reduce((sum, { factors }) => sum + (factors?.rank ?? 0), 0);
      ranks.set(matrix.kind, Math.max(ranks.get(matrix.kind) ?? 0, rank));
    }
    return ranks;
  }

  /** A place that an adapter of the same ranks has left. */
  #reuse(ranks: ReadonlyMap<string, number>): AdapterPlace | undefined {
    const place = this.#places.find(({ isFree, spans }) => isFree && this.#kinds.every((kind) => spans.get(kind)?.rank === ranks.get(kind)));
    if (place) place.isFree = false;
    return place;
  }

  #append(ranks: ReadonlyMap<string, number>): AdapterPlace {
    const last = this.#places.at(-1);
    const spans = new Map(this.#kinds.map((kind) => [kind, { first: last ? endOf(last, kind) : 0, rank: ranks.get(kind) ?? 1 }]));
    const place = new AdapterPlace(spans);
    if (this.#kinds.some((kind) => endOf(place, kind) > (this.#capacity.get(kind) ?? 0))) this.#grow(place);
    this.#places.push(place);
    return place;
  }

  /** Room for twice as many as up to this place. */
  #grow(place: AdapterPlace): void {
    const capacity = new Map(this.#kinds.map((kind) => [kind, 2 * endOf(place, kind)]));
    const grown = this.#allocate(capacity);
    for (const [matrix, { a, bTransposed }] of grown) {
      const old = this.#memoryOf(matrix);
      a.set(old.a);
      bTransposed.set(old.bTransposed);
    }
    this.#capacity = capacity;
    this.#memory = grown;
    this.#views.clear();
  }

  #allocate(capacity: ReadonlyMap<string, number>): ReadonlyMap<JointMatrix, Memory> {
    return new Map(this.#matrices.map((matrix) => {
      const ranks = capacity.get(matrix.kind) ?? 0;
      return [matrix, { a: new Float32Array(ranks * matrix.inner), bTransposed: new Float32Array(ranks * rowsOf(matrix)) }];
    }));
  }

  /** The parts' A one below the other; their B as blocks of a matrix that is zero elsewhere, so that each reads its own ranks. */
  #write(matrix: JointMatrix, place: AdapterPlace, adapter: AdapterMatrices): void {
    const { inner, kind } = matrix;
    const rows = rowsOf(matrix);
    const memory = this.#memoryOf(matrix);
    const from = startOf(place, kind), to = endOf(place, kind);
    const a = memory.a.subarray(from * inner, to * inner).fill(0);
    const bTransposed = memory.bTransposed.subarray(from * rows, to * rows).fill(0);
    let row = 0;
    let firstRank = 0;
    for (const { out, factors } of partsOf(matrix, adapter)) {
      if (factors) {
        a.set(factors.a, firstRank * inner);
        for (let rank = 0; rank < factors.rank; rank++) {
          const at = (firstRank + rank) * rows + row;
          for (let i = 0; i < out; i++) bTransposed[at + i] = LORA_B_SCALE * (factors.b[i * factors.rank + rank] ?? 0);
        }
        firstRank += factors.rank;
      }
      row += out;
    }
  }

  #memoryOf(matrix: JointMatrix): Memory {
    const memory = this.#memory.get(matrix);
    if (!memory) throw new Error(`${matrix.name} takes no adapter`);
    return memory;
  }

  #forget(place: AdapterPlace | undefined): void {
    if (!place) return;
    this.#views.delete(place);
    for (const ofFirst of this.#views.values()) ofFirst.delete(place);
  }
}

const startOf = ({ spans }: Pick<AdapterPlace, 'spans'>, kind: string): number => spans.get(kind)?.first ?? 0;
const endOf = ({ spans }: Pick<AdapterPlace, 'spans'>, kind: string): number => startOf({ spans }, kind) + (spans.get(kind)?.rank ?? 0);

const partsOf = ({ parts }: JointMatrix, adapter: AdapterMatrices): { readonly out: number; readonly factors: AdapterFactors | undefined }[] =>
  [...parts].map(([weight, out]) => ({ out, factors: adapter.get(weight.replace(/\.weight$/, '')) }));

/** Int32 `[ranks, rows]`: 1 where a rank is the row's own adapter's. */
function maskOf(kind: string, rows: readonly (AdapterPlace | null)[], first: AdapterPlace, last: AdapterPlace): TensorView {
  const start = startOf(first, kind);
  const ranks = endOf(last, kind) - start;
  const data = new Int32Array(ranks * rows.length);
  for (const [row, place] of rows.entries()) {
    if (!place) continue;
    for (let rank = startOf(place, kind); rank < endOf(place, kind); rank++) data[(rank - start) * rows.length + row] = 1;
  }
  return { data, shape: [ranks, rows.length] };
}
