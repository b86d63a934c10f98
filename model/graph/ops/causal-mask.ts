/** Which positions a position may see. */
import { node1 } from '../op.ts';
import { dimOf, type Value } from '../value.ts';
import { and, greater, lessOrEqual, where } from './choose.ts';
import { sub } from './elementwise.ts';
import { shapeValue } from './reduce.ts';

/** Low enough that its exponential is 0 in float32; finite, so that nothing becomes nan. */
const UNSEEN = -1e9;

/**
 * For tokens `[batch, time]`: `[time, time]`, 0 where the column's position is the row's or before it, else very negative. With a
 * `window` w, 0 only at the w positions that end with the row's own.
 */
export function causalMask(tokens: Value, window?: number): Value {
  const { graph } = tokens;
  const time = dimOf(tokens, 1);
  const scalar = (n: number): Value => graph.constant(BigInt64Array.of(BigInt(n)), []);
  const length = node1('Gather', [shapeValue(tokens), scalar(1)], { dtype: 'int64', shape: [] }, { axis: 0 });
  const positions = node1('Range', [scalar(0), length, scalar(1)], { dtype: 'int64', shape: [time] });
  const rows = node1('Unsqueeze', [positions, graph.integers(1)], { dtype: 'int64', shape: [time, 1] });
  const isEarlier = lessOrEqual(positions, rows);
  return where(window === undefined ? isEarlier : and(isEarlier, greater(positions, sub(rows, scalar(window)))), 0, UNSEEN);
}
