/** Arithmetic element by element, with NumPy broadcasting. A number stands for a float32 constant. */
import { apply, node1, type Op } from '../op.ts';
import { broadcastShapes, GraphError, type Value } from '../value.ts';
import { cast, equal, less, lessOrEqual, where } from './choose.ts';
import { sumTo } from './reduce.ts';

export type Operand = Value | number;

const unary = (type: string, gradient: (g: Value, x: Value, y: Value) => Value) => {
  const op: Op<readonly [Value], readonly [Value]> = {
    name: type,
    emit: ([x]) => [node1(type, [x], x)],
    gradient: ({ inputs: [x], outputs: [y], upstream: [g] }) => [gradient(g, x, y)],
  };
  return (x: Value): Value => apply(op, [x], undefined)[0];
};

const binary = (type: string, gradient: (g: Value, a: Value, b: Value, y: Value) => readonly [Value, Value], kept = 1) => {
  const op: Op<readonly [Value, Value], readonly [Value]> = {
    name: type,
    kept,
    emit: ([a, b]) => [node1(type, [a, b], { dtype: a.dtype, shape: broadcastShapes(a.shape, b.shape) })],
    gradient: ({ inputs: [a, b], outputs: [y], upstream: [g] }) => {
      const [da, db] = gradient(g, a, b, y);
      return [sumTo(da, a.shape), sumTo(db, b.shape)];
    },
  };
  return (a: Operand, b: Operand): Value => apply(op, operands(a, b), undefined)[0];
};

export const neg = unary('Neg', (g) => neg(g));
export const exp = unary('Exp', (g, _x, y) => mul(g, y));
export const log = unary('Log', (g, x) => div(g, x));
export const sqrt = unary('Sqrt', (g, _x, y) => div(g, mul(y, 2)));
export const abs = unary('Abs', (g, x) => mul(g, node1('Sign', [x], x)));
export const sigmoid = unary('Sigmoid', (g, _x, y) => mul(g, mul(y, sub(1, y))));

export const add = binary('Add', (g) => [g, g]);
export const sub = binary('Sub', (g) => [g, neg(g)]);
export const mul = binary('Mul', (g, a, b) => [mul(g, b), mul(g, a)], 0);
export const div = binary('Div', (g, _a, b, y) => [div(g, b), neg(div(mul(g, y), b))]);

/** Where both are equal each gets half of the gradient, as in PyTorch. */
export const min = binary('Min', (g, a, b) => share(g, less(a, b), equal(a, b)));
/** Where both are equal each gets half of the gradient, as in PyTorch. */
export const max = binary('Max', (g, a, b) => share(g, less(b, a), equal(a, b)));

function share(g: Value, first: Value, tie: Value): readonly [Value, Value] {
  const half = mul(cast(tie, 'float32'), 0.5);
  const weight = add(cast(first, 'float32'), half);
  return [mul(g, weight), mul(g, sub(1, weight))];
}

const clipOp: Op<readonly [Value], readonly [Value], { low: number; high: number }> = {
  name: 'Clip',
  emit: ([x], { low, high }) => [node1('Clip', [x, x.graph.scalar(low), x.graph.scalar(high)], x)],
  // As in PyTorch: 1 also at the bounds themselves. `where`, not a product: x may be infinite.
  gradient: ({ inputs: [x], attributes: { low, high }, upstream: [g] }) => [where(lessOrEqual(low, x), where(lessOrEqual(x, high), g, 0), 0)],
};

/** x held in [low, high]; no gradient flows from outside. */
export const clip = (x: Value, low: number, high: number): Value => apply(clipOp, [x], { low, high })[0];

function operands(a: Operand, b: Operand): readonly [Value, Value] {
  if (typeof a === 'number') {
    if (typeof b === 'number') throw new GraphError('an operation on two numbers needs no graph');
    return [b.graph.scalar(a), b];
  }
  return [a, typeof b === 'number' ? a.graph.scalar(b) : b];
}
