/** Equal parts of a dimension whose size only the run knows. */
import { node1 } from '../op.ts';
import { frontAxis, type Dim, type Value } from '../value.ts';
import { shapeValue } from './reduce.ts';

/** From ⌊size·from/of⌋ up to ⌊size·to/of⌋. Parts of a small dimension may be empty. */
export interface Part {
  readonly from: number;
  readonly to: number;
  readonly of: number;
}

/** The `of` parts that make up a whole. */
export const partsOf = (of: number): readonly Part[] => Array.from({ length: of }, (_, from) => ({ from, to: from + 1, of }));

/** A part of x along an axis. It has no gradient: for the insides of operations that are computed in pieces. */
export function partOf(x: Value, axis: number, part: Part): Value {
  const { from, to, of } = part;
  if (from === 0 && to === of) return x;
  const { graph } = x;
  const front = frontAxis(x, axis);
  const size = node1('Slice', [shapeValue(x), graph.integers(front), graph.integers(front + 1)], { dtype: 'int64', shape: [1] });
  const border = (numerator: number): Value => node1('Div', [node1('Mul', [size, graph.integers(numerator)], size), graph.integers(of)], size);
  const shape = x.shape.map((dim, i) => (i === front ? partSize(dim, part) : dim));
  return node1('Slice', [x, border(from), border(to), graph.integers(front)], { dtype: x.dtype, shape });
}

/** Parts of x, put together again. `whole` has the shape that comes out. */
export const joinParts = (parts: readonly [Value, ...Value[]], axis: number, whole: Value): Value =>
  (parts.length === 1 ? parts[0] : node1('Concat', parts, { dtype: whole.dtype, shape: whole.shape }, { axis: frontAxis(whole, axis) }));

/** Named by what it is a part of, so that equal parts are known to be equal: `time[1:2/4]`. */
function partSize(dim: Dim, { from, to, of }: Part): Dim {
  if (typeof dim === 'number') return Math.floor((dim * to) / of) - Math.floor((dim * from) / of);
  return `${dim}[${from}:${to}/${of}]`;
}
