/** Operations that move or regroup elements without changing them. */
import { apply, node1, type Op } from '../op.ts';
import { dimOf, factorsOf, formatShape, frontAxis, GraphError, productOf, type Dim, type Shape, type Value } from '../value.ts';
import { shapeValue, zerosLike } from './reduce.ts';

const reshapeOp: Op<readonly [Value], readonly [Value], { target: Value; shape: Shape }> = {
  name: 'Reshape',
  kept: 0,
  emit: ([x], { target, shape }) => [node1('Reshape', [x, target], { dtype: x.dtype, shape })],
  gradient: ({ inputs: [x], upstream: [g] }) => [reshapeAs(g, x)],
};

/**
 * x with the same elements under another shape. In `dims`, 0 keeps the dimension at that place and one -1 takes what is left:
 * `reshape(ids, [-1])` of `[B, S]` is `['B*S']`. For a dimension known only at run time in any other place, see `reshapeTo`.
 */
export function reshape(x: Value, dims: readonly number[]): Value {
  const kept = dims.map((dim, i): Dim => (dim === 0 ? dimOf(x, i) : dim));
  const rest = quotient(x.shape, kept.filter((dim) => dim !== -1));
  if (rest === null || (!dims.includes(-1) && rest !== 1)) throw new GraphError(`${formatShape(x.shape)} does not reshape to [${dims.join(', ')}]`);
  return apply(reshapeOp, [x], { target: x.graph.integers(...dims), shape: kept.map((dim) => (dim === -1 ? rest : dim)) })[0];
}

/** x under a shape computed in the graph: `target` is an int64 vector with the numbers of `shape`. */
export const reshapeTo = (x: Value, target: Value, shape: Shape): Value => apply(reshapeOp, [x], { target, shape })[0];

/** x under the shape of `like`. */
export const reshapeAs = (x: Value, like: Value): Value => reshapeTo(x, shapeValue(like), like.shape);

/** What is left of a shape's elements when those of `part` are divided out; null if they don't divide. */
function quotient(whole: Shape, part: Shape): Dim | null {
  const dividend = factorsOf(whole);
  const divisor = factorsOf(part);
  const names = [...dividend.names];
  for (const name of divisor.names) {
    const at = names.indexOf(name);
    if (at < 0) return null;
    names.splice(at, 1);
  }
  const count = dividend.count / divisor.count;
  return Number.isInteger(count) ? productOf([count, ...names]) : null;
}

const transposeOp: Op<readonly [Value], readonly [Value], { order: readonly number[] }> = {
  name: 'Transpose',
  kept: 0,
  emit: ([x], { order }) => [node1('Transpose', [x], { dtype: x.dtype, shape: order.map((axis) => dimOf(x, axis)) }, { perm: order })],
  gradient: ({ attributes: { order }, upstream: [g] }) => [transpose(g, order.map((_, axis) => order.indexOf(axis)))],
};

/** Axis i of the result is axis `order[i]` of x. */
export const transpose = (x: Value, order: readonly number[]): Value => apply(transposeOp, [x], { order })[0];

const concatOp: Op<readonly [Value, ...Value[]], readonly [Value], { axis: number }> = {
  name: 'Concat',
  emit: (parts, { axis }) => {
    const sizes = parts.map((part) => dimOf(part, axis)).map((dim) => {
      if (typeof dim !== 'number') throw new GraphError(`concat along the dimension ${dim}, which is not a number`);
      return dim;
    });
    const total = sizes.reduce((a, b) => a + b, 0);
    return [node1('Concat', parts, { dtype: parts[0].dtype, shape: parts[0].shape.map((dim, i) => (i === axis ? total : dim)) }, { axis })];
  },
  gradient: ({ inputs, attributes: { axis }, upstream: [g] }) => {
    // `emit` made sure that these are numbers.
    const [first, ...rest] = split(g, inputs.map((part) => Number(dimOf(part, axis))), axis);
    return [first ?? null, ...rest];
  },
};

export const concat = (parts: readonly [Value, ...Value[]], axis: number): Value => apply(concatOp, parts, { axis: frontAxis(parts[0], axis) })[0];

const splitOp: Op<readonly [Value], readonly Value[], { sizes: readonly number[]; axis: number }> = {
  name: 'Split',
  emit: ([x], { sizes, axis }) => {
    const total = sizes.reduce((a, b) => a + b, 0);
    if (dimOf(x, axis) !== total) throw new GraphError(`${formatShape(x.shape)} does not split into ${sizes.join(' + ')} along axis ${axis}`);
    const types = sizes.map((size) => ({ dtype: x.dtype, shape: x.shape.map((dim, i) => (i === axis ? size : dim)) }));
    return x.graph.node('Split', [x, x.graph.integers(...sizes)], types, { axis });
  },
  gradient: ({ outputs, attributes: { axis }, upstream }) => {
    const [first, ...rest] = outputs.map((output, i) => upstream[i] ?? zerosLike(output));
    return [first ? concat([first, ...rest], axis) : null];
  },
};

/** Pieces of the given sizes along an axis. */
export const split = (x: Value, sizes: readonly number[], axis: number): readonly Value[] => apply(splitOp, [x], { sizes, axis: frontAxis(x, axis) });

/** x's shape as an int64 vector `[rank]`, for `reshapeTo`. */
export const shapeOf = shapeValue;
