/** Which positions a position may see. */
import { node1 } from '../op.ts';
import { dimOf, type Value } from '../value.ts';
import { and, cast, greater, less, lessOrEqual, where } from './choose.ts';
import { sub } from './elementwise.ts';
import { shapeValue } from './reduce.ts';

/** Low enough that its exponential is 0 in float32; finite, so that nothing becomes nan. */
const UNSEEN = -1e9;

/** Rows that hold several sequences which begin alike, the beginning once and what follows one after the other: a tree, depth first. int32 `[batch, time]` each. */
export interface Branches {
  /** The place of a token in its own sequence. */
  readonly places: Value;
  /** Where, in the row, what comes after a token in any of its sequences ends. */
  readonly seenUntil: Value;
}

export interface MaskOptions {
  /** How many places a token sees, its own included. Default: all. */
  readonly window?: number | undefined;
  /** Default: each row is one sequence. */
  readonly branches?: Branches | undefined;
}

/**
 * For tokens `[batch, time]`: 0 where the column's token is the row's or comes before it in its sequence, else very negative. `[time, time]`, or with
 * branches `[batch, 1, time, time]`.
 */
export function causalMask(tokens: Value, { window, branches }: MaskOptions = {}): Value {
  const { graph } = tokens;
  const time = dimOf(tokens, 1);
  const scalar = (n: number): Value => graph.constant(BigInt64Array.of(BigInt(n)), []);
  const length = node1('Gather', [shapeValue(tokens), scalar(1)], { dtype: 'int64', shape: [] }, { axis: 0 });
  const columns = cast(node1('Range', [scalar(0), length, scalar(1)], { dtype: 'int64', shape: [time] }), 'int32');
  const rows = unsqueeze(columns, 1);
  const isEarlier = lessOrEqual(columns, rows);
  const isBefore = branches ? and(isEarlier, less(rows, unsqueeze(branches.seenUntil, 1, 2))) : isEarlier;
  if (window === undefined) return where(isBefore, 0, UNSEEN);
  const [place, ownPlace] = branches ? [unsqueeze(branches.places, 1, 2), unsqueeze(branches.places, 1, 3)] : [columns, rows];
  return where(and(isBefore, greater(place, sub(ownPlace, graph.constant(Int32Array.of(window), [])))), 0, UNSEEN);
}

function unsqueeze(x: Value, ...axes: number[]): Value {
  const dims = [...x.shape];
  const shape = Array.from({ length: dims.length + axes.length }, (_, axis) => (axes.includes(axis) ? 1 : dims.shift() ?? 1));
  return node1('Unsqueeze', [x, x.graph.integers(...axes)], { dtype: x.dtype, shape });
}
