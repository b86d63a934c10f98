/** Rows that begin alike, laid out as one: the members of a group share their prompt, the branches of a conversation what was said before. Pure. */
import type { Row } from './batch.ts';

/** A prefix tree, depth first, as one row of a micro-batch. */
export interface PrefixTree {
  readonly tokenIds: Int32Array;
  /** As in `Branches`. */
  readonly places: Int32Array;
  readonly seenUntil: Int32Array;
  readonly rows: readonly PlacedRow[];
}

export interface PlacedRow {
  readonly row: Row;
  /** Where in the tree each of the row's tokens is. */
  readonly at: Int32Array;
}

/**
 * Attention compares every two tokens of a row, also of different branches: so many pairs take the time that the rest of the model takes for one token. Measured with a
 * 135M-parameter Llama; larger models take more time for a token.
 */
const PAIRS_PER_TOKEN = 800;

/** Of computing a row, in tokens. */
const cost = (tokens: number): number => tokens + (tokens * tokens) / 2 / PAIRS_PER_TOKEN;

/**
 * Each row in exactly one tree. A row joins the tree before it if that makes the tree cheaper, in relation to what its rows would cost apart; trees have at most
 * `maxTokens` tokens, but for a row that alone has more.
 */
export function growPrefixTrees(rows: readonly Row[], maxTokens: number): PrefixTree[] {
  const trees: PrefixTree[] = [];
  let members: Row[] = [];
  let size = 0;
  let apart = 0;
  const end = (): void => {
    if (members.length > 0) trees.push(layOut(members, size));
    members = [];
    size = 0;
    apart = 0;
  };
  // In this order a row shares at least as much with the one before it as with any earlier one.
  for (const row of rows.toSorted((a, b) => compare(a.tokenIds, b.tokenIds))) {
    const before = members.at(-1);
    const added = row.tokenIds.length - (before ? sharedLength(before.tokenIds, row.tokenIds) : 0);
    const alone = cost(row.tokenIds.length);
    if (size + added > maxTokens || (cost(size + added) - cost(size)) / alone >= cost(size) / apart) end();
    size += members.length === 0 ? row.tokenIds.length : added;
    apart += alone;
    members.push(row);
  }
  end();
  return trees;
}

function layOut(members: readonly Row[], size: number): PrefixTree {
  const tokenIds = new Int32Array(size);
  const places = new Int32Array(size);
  const seenUntil = new Int32Array(size).fill(size);
  const placed: PlacedRow[] = [];
  let length = 0;
  for (const row of members) {
    const before = placed.at(-1);
    const shared = before ? sharedLength(before.row.tokenIds, row.tokenIds) : 0;
    for (const index of before?.at.subarray(shared) ?? []) seenUntil[index] = Math.min(length, seenUntil[index] ?? length);
    const at = Int32Array.from(row.tokenIds, (_, place) => (place < shared ? before?.at[place] ?? 0 : length + place - shared));
    for (let place = shared; place < row.tokenIds.length; place++, length++) {
      tokenIds[length] = row.tokenIds[place] ?? 0;
      places[length] = place;
    }
    placed.push({ row, at });
  }
  return { tokenIds, places, seenUntil, rows: placed };
}

function sharedLength(a: Int32Array, b: Int32Array): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}

/** By the first token that differs; what ends first comes first. */
function compare(a: Int32Array, b: Int32Array): number {
  const shared = sharedLength(a, b);
  return (a[shared] ?? -1) - (b[shared] ?? -1);
}
