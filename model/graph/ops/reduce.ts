/** Sums over axes, and their transpose, expansion. Both live here because each is the other's gradient. */
import { apply, node1, type Op } from '../op.ts';
import { broadcastShapes, frontAxis, GraphError, type Shape, type Value } from '../value.ts';

/** Σ over `axes`, which stay as dimensions of size 1 (`keep`) or go. */
const reduceSumOp: Op<readonly [Value], readonly [Value], { axes: readonly number[]; keep: boolean }> = {
  name: 'ReduceSum',
  emit: ([x], { axes, keep }) => {
    const shape = keep ? x.shape.map((dim, i) => (axes.includes(i) ? 1 : dim)) : x.shape.filter((_, i) => !axes.includes(i));
    return [node1('ReduceSum', [x, x.graph.integers(...axes)], { dtype: x.dtype, shape }, { keepdims: keep ? 1 : 0 })];
  },
  gradient: ({ inputs: [x], attributes: { axes, keep }, upstream: [g] }) => {
    const kept = keep ? g : node1('Unsqueeze', [g, x.graph.integers(...axes)], { dtype: x.dtype, shape: x.shape.map((dim, i) => (axes.includes(i) ? 1 : dim)) });
    return [expandAs(kept, x)];
  },
};

const expandOp: Op<readonly [Value], readonly [Value], { like: Value }> = {
  name: 'Expand',
  emit: ([x], { like }) => [node1('Expand', [x, shapeValue(like)], { dtype: x.dtype, shape: broadcastShapes(x.shape, like.shape) })],
  gradient: ({ inputs: [x], upstream: [g] }) => [sumTo(g, x.shape)],
};

/** Σ x over `axes` (default: all), without them. */
export const reduceSum = (x: Value, axes: readonly number[] = x.shape.map((_, i) => i), options: { readonly keep?: boolean } = {}): Value =>
  axes.length === 0 ? x : apply(reduceSumOp, [x], { axes: axes.map((axis) => frontAxis(x, axis)), keep: options.keep ?? false })[0];

/** x broadcast to the shape of `like`. */
export const expandAs = (x: Value, like: Value): Value => apply(expandOp, [x], { like })[0];

/** Undoes broadcasting: sums g over the axes along which a tensor of `shape` was repeated. */
export function sumTo(g: Value, shape: Shape): Value {
  const extra = g.shape.length - shape.length;
  const leading = g.shape.map((_, i) => i).slice(0, extra);
  const inner = leading.length > 0 ? reduceSum(g, leading) : g;
  const repeated = shape.flatMap((dim, i) => (dim === 1 && inner.shape[i] !== 1 ? [i] : []));
  return repeated.length > 0 ? reduceSum(inner, repeated, { keep: true }) : inner;
}

/** A value's shape as an int64 vector: a constant where it is known, else a `Shape` node. */
export function shapeValue(x: Value): Value {
  const known = x.shape.flatMap((dim) => (typeof dim === 'number' ? [dim] : []));
  if (known.length === x.shape.length) return x.graph.integers(...known);
  return node1('Shape', [x], { dtype: 'int64', shape: [x.shape.length] });
}

/** Zeros of the shape of `like`. */
export function zerosLike(like: Value): Value {
  if (like.dtype !== 'float32') throw new GraphError(`zeros like a tensor of ${like.dtype}`);
  return node1('ConstantOfShape', [shapeValue(like)], { dtype: 'float32', shape: like.shape }, { value: { zeros: 'float32' } });
}
