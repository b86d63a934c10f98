/**
 * The keys and values of one lane's rows. Per layer and side one array `[rows, kvHeads, positions, headDim]`, so that rows 0…n−1
 * are one contiguous tensor: a decode step takes the first n rows as they lie. Both dimensions grow by doubling; what is copied
 * is only what rows hold. Rows that nobody has used yet cost addresses, not memory: the system gives zeroed pages when they are written.
 */

export interface KvShape {
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** The smallest allocation, in positions. */
const FIRST_BUCKET = 128;

/** The next power of two from 128 up, but no more than `most`. */
export function bucket(positions: number, most: number): number {
  let size = FIRST_BUCKET;
  while (size < positions) size *= 2;
  return Math.min(size, Math.max(most, positions));
}

export class KvCache {
  readonly shape: KvShape;
  readonly maxPositions: number;
  readonly #firstRows: number;
  /** Keys and values alternate: `[k0, v0, k1, v1, …]`. Replaced when the cache grows. */
  buffers: readonly Float32Array[];
  rows = 0;
  positions = 0;

  /** @param firstRows the smallest allocation, in rows: until there are more, a row that joins makes nobody's be copied */
  constructor(shape: KvShape, maxPositions: number, firstRows = 1) {
    this.shape = shape;
    this.maxPositions = maxPositions;
    this.#firstRows = firstRows;
    this.buffers = Array.from({ length: 2 * shape.layers }, () => new Float32Array(0));
  }

  /** One row, in memory of the caller's: `rowNumbers`. */
  static over(shape: KvShape, positions: number, memory: Float32Array): KvCache {
    const cache = new KvCache(shape, positions);
    cache.rows = 1;
    cache.positions = positions;
    cache.buffers = parted(memory, cache.buffers.length);
    return cache;
  }

  get bytes(): number {
    return this.buffers.length * this.rows * this.rowSize * Float32Array.BYTES_PER_ELEMENT;
  }

  private get rowSize(): number {
    return this.shape.kvHeads * this.positions * this.shape.headDim;
  }

  /**
   * Makes room. `lengths[row]` says how many positions of each row must survive.
   * @throws RangeError when there is no memory; the cache is then as before.
   */
  reserve(rows: number, positions: number, lengths: readonly number[]): void {
    if (rows <= this.rows && positions <= this.positions) return;
    const grown = new KvCache(this.shape, this.maxPositions);
    grown.rows = rows <= this.rows ? this.rows : Math.max(rows, 2 * this.rows, this.#firstRows);
    grown.positions = positions <= this.positions ? this.positions : bucket(positions, this.maxPositions);
    grown.buffers = parted(new Float32Array(grown.rows * grown.rowSize * this.buffers.length), this.buffers.length);
    lengths.forEach((length, row) => copyRow(this, row, grown, row, length));
    this.rows = grown.rows;
    this.positions = grown.positions;
    this.buffers = grown.buffers;
  }

  /** Gives all memory back. */
  clear(): void {
    this.rows = 0;
    this.positions = 0;
    this.buffers = this.buffers.map(() => new Float32Array(0));
  }

  /** Rows `first … first + count − 1` of one buffer, `[count, kvHeads, positions, headDim]`. Writes go to the cache. */
  view(buffer: number, first: number, count: number): Float32Array {
    return (this.buffers[buffer] ?? new Float32Array(0)).subarray(first * this.rowSize, (first + count) * this.rowSize);
  }
}

/** Keys and values of a row with so many positions. */
export const rowNumbers = ({ layers, kvHeads, headDim }: KvShape, positions: number): number => 2 * layers * kvHeads * positions * headDim;

/**
 * Equal parts of one allocation: large ones are mapped by the system as they are written. Of separate ones of some megabytes, later ones would come out of a
 * heap, and be zeroed at once: up to a second, for memory that no row uses.
 */
function parted(all: Float32Array, count: number): Float32Array[] {
  const size = all.length / count;
  return Array.from({ length: count }, (_, i) => all.subarray(i * size, (i + 1) * size));
}

/** Copies the first `length` positions of a row, within one cache or between two. */
export function copyRow(from: KvCache, fromRow: number, to: KvCache, toRow: number, length: number): void {
  copyPositions({ cache: from, row: fromRow, position: 0 }, { cache: to, row: toRow, position: 0 }, length);
}

export interface KvPlace {
  readonly cache: KvCache;
  readonly row: number;
  readonly position: number;
}

/** Copies `length` positions from one place on to another. */
export function copyPositions(from: KvPlace, to: KvPlace, length: number): void {
  const { kvHeads, headDim } = from.cache.shape;
  from.cache.buffers.forEach((source, index) => {
    const target = to.cache.buffers[index] ?? source;
    for (let head = 0; head < kvHeads; head++) {
      const at = ((from.row * kvHeads + head) * from.cache.positions + from.position) * headDim;
      target.set(source.subarray(at, at + length * headDim), ((to.row * kvHeads + head) * to.cache.positions + to.position) * headDim);
    }
  });
}
