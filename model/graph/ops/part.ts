/** Equal parts of a dimension whose size only the run knows. */
import { node1 } from '../op.ts';
import { frontAxis, GraphError, type Dim, type Value } from '../value.ts';
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
  const front = frontAxis(x, axis);
  const shape = x.shape.map((dim, i) => (i === front ? partSize(dim, part) : dim));
  return node1('Slice', [x, border(x, front, from, of), border(x, front, to, of), x.graph.integers(front)], { dtype: x.dtype, shape });
}

/** Undoes `partOf` of a whole's first parts, up to `to`: what is missing is 0. `whole` has the shape that comes out. */
export function padPart(x: Value, axis: number, { to, of }: Pick<Part, 'to' | 'of'>, whole: Value): Value {
  if (to === of) return x;
  const { graph } = x;
  const front = frontAxis(whole, axis);
  const missing = node1('Sub', [border(whole, front, of, of), border(whole, front, to, of)], { dtype: 'int64', shape: [1] });
  const pads = node1('Concat', [graph.integers(0), missing], { dtype: 'int64', shape: [2] }, { axis: 0 });
  return node1('Pad', [x, pads, null, graph.integers(front)], whole);
}

/** ⌊size·numerator/of⌋ of an axis, an int64 vector of one. */
function border(x: Value, axis: number, numerator: number, of: number): Value {
  const { graph } = x;
  const size = node1('Slice', [shapeValue(x), graph.integers(axis), graph.integers(axis + 1)], { dtype: 'int64', shape: [1] });
  return node1('Div', [node1('Mul', [size, graph.integers(numerator)], size), graph.integers(of)], size);
}

/** Parts of x, put together again. `whole` has the shape that comes out. */
export function joinParts(parts: readonly Value[], axis: number, whole: Value): Value {
  const [first, ...rest] = parts;
  if (!first) throw new GraphError('nothing to join');
  return rest.length === 0 ? first : node1('Concat', [first, ...rest], { dtype: whole.dtype, shape: whole.shape }, { axis: frontAxis(whole, axis) });
}

/** Named by what it is a part of, so that equal parts are known to be equal: `time[1:2/4]`. */
function partSize(dim: Dim, { from, to, of }: Part): Dim {
  if (typeof dim === 'number') return Math.floor((dim * to) / of) - Math.floor((dim * from) / of);
  return `${dim}[${from}:${to}/${of}]`;
}
