/**
 * Keys and values of prompts and completions that were computed before, for requests that begin with the same tokens: a conversation's next turn, the
 * members of a group. A trie over token ids, one per policy version, of blocks of 16 tokens; only the last block of a text may hold fewer.
 * What was used least recently goes first. A hit is copied into the request's row: some milliseconds where reading takes seconds.
 *
 * What was read as a prompt is reused bit for bit: reading gives the same bits however it is cut (scheduler.ts sees to it). What was generated
 * was computed one token at a time, by another kernel, and differs in the last bits. So a request with a seed of its own is given only what was read, and
 * gets the same tokens whether anything was reused or not.
 */
import { copyPositions, KvCache, rowNumbers, type KvShape } from './kv.ts';

const BLOCK = 16;
/** Of the memory, for logits after prompts. */
const LOGITS_SHARE = 1 / 8;
/**
 * Memory for blocks is allocated this much at a time, in bytes, and taken from the system as it is written. V8 collects all of its garbage for every few megabytes outside of its heap: with an allocation
 * for each block it did so for every other request until the cache was full.
 */
const SLAB_BYTES = 64 * 1024 * 1024;

/** What is known of a prompt. */
export interface Prefix {
  /** Its first tokens, whose keys and values are known. */
  readonly length: number;
  /** Of these, those that were read, and not generated, as was everything before them. */
  readonly read: number;
  /** Logits after its last token, where all of it is known; nothing is left to read then. */
  readonly logits: Float32Array | null;
  /** The blocks that hold them. */
  readonly path: readonly Node[];
}

/** A text whose keys and values lie in a row. */
export interface Computed {
  readonly version: number;
  /** One for each position. */
  readonly tokenIds: Int32Array;
  readonly cache: KvCache;
  readonly row: number;
  /** How many of them were read (and not generated, nor read after something generated). */
  readonly read: number;
  /** Logits after the last of them; null where nobody will ask. */
  readonly logits: Float32Array | null;
}

interface Node {
  /** Null: it is a text's first block. */
  readonly parent: Node | null;
  readonly version: number;
  readonly children: Set<Node>;
  /** Up to `BLOCK`; a block with fewer has no children. */
  tokenIds: Int32Array;
  /** How many of them were read. */
  read: number;
  readonly kv: KvCache;
  /** Of the last prompt that ended in this block, after `length` of its tokens. */
  end: { readonly length: number; readonly wasRead: boolean; readonly logits: Float32Array } | null;
}

export class PrefixCache {
  readonly #shape: KvShape;
  readonly #blockNumbers: number;
  readonly #maxBlocks: number;
  readonly #maxLogitsBytes: number;
  /** First blocks, by version. */
  readonly #roots = new Map<number, Set<Node>>();
  /** Least recently used first; a block comes after those that continue it. */
  readonly #order = new Set<Node>();
  readonly #free: KvCache[] = [];
  /** What is left of the last allocation. */
  #slab = new Float32Array(0);
  #blocks = 0;
  #logitsBytes = 0;

  constructor(shape: KvShape, maxBytes: number) {
    this.#shape = shape;
    this.#blockNumbers = rowNumbers(shape, BLOCK);
    this.#maxLogitsBytes = maxBytes * LOGITS_SHARE;
    this.#maxBlocks = Math.floor(maxBytes * (1 - LOGITS_SHARE) / this.#blockBytes);
  }

  /** Memory that is held; what is forgotten makes room for what comes. */
  get bytes(): number {
    return this.#blocks * this.#blockBytes + this.#logitsBytes;
  }

  get #blockBytes(): number {
    return this.#blockNumbers * Float32Array.BYTES_PER_ELEMENT;
  }

  /** @param onlyRead leave out what was generated */
  find(version: number, prompt: Int32Array, onlyRead: boolean): Prefix {
    const path: Node[] = [];
    let length = 0, read = 0, common = 0;
    for (let level = this.#roots.get(version); level; level = common === BLOCK ? path.at(-1)?.children : undefined) {
      const found = mostSimilar(level, prompt.subarray(length, length + BLOCK), onlyRead);
      if (!found.node) break;
      common = found.common;
      path.push(found.node);
      if (read === length) read += Math.min(common, found.node.read);
      length += common;
    }
    this.#use(path);
    const end = path.at(-1)?.end ?? null;
    const isEnd = length === prompt.length && end?.length === length - (path.length - 1) * BLOCK;
    if (isEnd && (end.wasRead || !onlyRead)) return { length, read, logits: end.logits, path };
    // One token alone would be computed as if it were generated: two are left to be read.
    const most = Math.max(Math.min(length, prompt.length - 2), 0);
    return { length: most, read: Math.min(read, most), logits: null, path };
  }

  /** Copies what is known into a row, which has room for it. */
  load({ length, path }: Prefix, cache: KvCache, row: number): void {
    path.forEach((node, index) => {
      const position = index * BLOCK;
      if (position < length) copyPositions({ cache: node.kv, row: 0, position: 0 }, { cache, row, position }, Math.min(BLOCK, length - position));
    });
  }

  /** Keeps a text, or as much of its beginning as there is memory for. */
  store({ version, tokenIds, cache, row, read, logits }: Computed): void {
    const path: Node[] = [];
    for (let from = 0; from < tokenIds.length; from += BLOCK) {
      const block = tokenIds.subarray(from, from + BLOCK);
      const readHere = Math.min(Math.max(read - from, 0), block.length);
      const node = this.#blockOf(version, path.at(-1) ?? null, block);
      if (!node) break;
      path.push(node);
      // What was read takes the place of the same tokens generated.
      const first = readHere > node.read ? node.read : node.tokenIds.length;
      if (first < block.length) copyPositions({ cache, row, position: from + first }, { cache: node.kv, row: 0, position: first }, block.length - first);
      if (block.length > node.tokenIds.length) node.tokenIds = block.slice();
      node.read = Math.max(node.read, readHere);
      if (logits && from + block.length === tokenIds.length) this.#end(node, { length: block.length, wasRead: read === tokenIds.length, logits });
    }
    this.#use(path);
  }

  /** Forgets a version. */
  drop(version: number): void {
    for (const node of this.#order) if (node.version === version) this.#forget(node);
    this.#roots.delete(version);
  }

  /** The block that holds these tokens or the first of them; a new one, still empty, where there is none. Null: there is no memory. */
  #blockOf(version: number, parent: Node | null, tokenIds: Int32Array): Node | null {
    const siblings = parent?.children ?? this.#roots.get(version) ?? new Set<Node>();
    const { node, common } = mostSimilar(siblings, tokenIds, false);
    if (node && common === Math.min(node.tokenIds.length, tokenIds.length)) return node;
    const kv = this.#take(parent);
    if (!kv) return null;
    const made: Node = { parent, version, children: new Set(), tokenIds: new Int32Array(0), read: 0, kv, end: null };
    siblings.add(made);
    if (!parent) this.#roots.set(version, siblings);
    this.#order.add(made);
    return made;
  }

  #end(node: Node, end: NonNullable<Node['end']>): void {
    if (node.end?.wasRead === true && !end.wasRead) return;
    this.#forgetEnd(node);
    const { byteLength } = end.logits;
    if (byteLength > this.#maxLogitsBytes) return;
    for (const other of this.#order) {
      if (this.#logitsBytes + byteLength <= this.#maxLogitsBytes) break;
      this.#forgetEnd(other);
    }
    node.end = end;
    this.#logitsBytes += byteLength;
  }

  #forgetEnd(node: Node): void {
    this.#logitsBytes -= node.end?.logits.byteLength ?? 0;
    node.end = null;
  }

  /** Memory for one block. Null: all there is is in use by the text that `keep` ends so far. */
  #take(keep: Node | null): KvCache | null {
    const left = this.#maxBlocks - this.#blocks;
    if (this.#free.length === 0 && left < 1 && !this.#evict(keep)) return null;
    const free = this.#free.pop();
    if (free) return free;
    const size = this.#blockNumbers;
    if (this.#slab.length === 0) this.#slab = new Float32Array(Math.min(left, Math.ceil(SLAB_BYTES / this.#blockBytes)) * size);
    const made = KvCache.over(this.#shape, BLOCK, this.#slab.subarray(0, size));
    this.#slab = this.#slab.subarray(size);
    this.#blocks++;
    return made;
  }

  /** Forgets the end of the text that was used least recently. False: there is none but the one to be kept. */
  #evict(keep: Node | null): boolean {
    for (const node of this.#order) {
      if (node === keep || node.children.size > 0) continue;
      this.#forget(node);
      return true;
    }
    return false;
  }

  #forget(node: Node): void {
    this.#order.delete(node);
    (node.parent?.children ?? this.#roots.get(node.version))?.delete(node);
    this.#forgetEnd(node);
    this.#free.push(node.kv);
  }

  /** From the last to the first, so that none is forgotten before those that continue it. */
  #use(path: readonly Node[]): void {
    for (const node of path.toReversed()) {
      this.#order.delete(node);
      this.#order.add(node);
    }
  }
}

/** Of these blocks the one that has most of the tokens that come first. @param onlyRead count what was read */
function mostSimilar(nodes: Iterable<Node>, tokenIds: Int32Array, onlyRead: boolean): { readonly node: Node | null; readonly common: number } {
  let best: Node | null = null;
  let most = 0;
  for (const node of nodes) {
    const limit = Math.min(onlyRead ? node.read : node.tokenIds.length, tokenIds.length);
    let common = 0;
    while (common < limit && node.tokenIds[common] === tokenIds[common]) common++;
    if (common > most) [best, most] = [node, common];
  }
  return { node: best, common: most };
}
