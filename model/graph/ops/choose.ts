/** Comparisons, choice by a condition, conversion, and cutting the gradient. */
import { apply, node1, type Op } from '../op.ts';
import { broadcastShapes, GraphError, type DType, type Value } from '../value.ts';
import { sumTo } from './reduce.ts';

type Operand = Value | number;

// Not on the tape: a truth value has no gradient.
const comparison = (type: string) => (a: Operand, b: Operand): Value => {
  const [x, y] = both(a, b);
  return node1(type, [x, y], { dtype: 'bool', shape: broadcastShapes(x.shape, y.shape) });
};

export const less = comparison('Less');
export const lessOrEqual = comparison('LessOrEqual');
export const greater = comparison('Greater');
export const greaterOrEqual = comparison('GreaterOrEqual');
export const equal = comparison('Equal');
/** Both conditions hold. */
export const and = comparison('And');
export const not = (condition: Value): Value => node1('Not', [condition], condition);

const whereOp: Op<readonly [Value, Value, Value], readonly [Value]> = {
  name: 'Where',
  emit: ([condition, a, b]) => [node1('Where', [condition, a, b], { dtype: a.dtype, shape: broadcastShapes(condition.shape, broadcastShapes(a.shape, b.shape)) })],
  gradient: ({ inputs: [condition, a, b], upstream: [g] }) => [null, sumTo(where(condition, g, 0), a.shape), sumTo(where(condition, 0, g), b.shape)],
};

/** a where the condition holds, else b. What is not chosen leaks neither into the value nor into the gradient, also if it is nan. */
export const where = (condition: Value, a: Operand, b: Operand): Value => {
  const value = (x: Operand): Value => (typeof x === 'number' ? condition.graph.scalar(x) : x);
  return apply(whereOp, [condition, value(a), value(b)], undefined)[0];
};

const ONNX_TYPE: Readonly<Record<DType, number>> = { float32: 1, uint8: 2, int32: 6, int64: 7, bool: 9 };

/** x as another type. No gradient passes. */
export const cast = (x: Value, dtype: DType): Value => (x.dtype === dtype ? x : node1('Cast', [x], { dtype, shape: x.shape }, { to: ONNX_TYPE[dtype] }));

/** The same value, taken as a constant by the reverse pass (stop-gradient). */
export const detach = (x: Value): Value => node1('Identity', [x], x);

function both(a: Operand, b: Operand): readonly [Value, Value] {
  if (typeof a === 'number') {
    if (typeof b === 'number') throw new GraphError('a comparison of two numbers needs no graph');
    return [b.graph.scalar(a), b];
  }
  return [a, typeof b === 'number' ? a.graph.scalar(b) : b];
}
