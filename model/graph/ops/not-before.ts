/** Order where there is no flow of data. */
import { node1 } from '../op.ts';
import type { Value } from '../value.ts';

/**
 * x itself, to be used by what must not be computed before `other` is: without it the runtime would compute everything as soon as, and once and for all if, it
 * can. Costs nothing: a reshape to the same shape, said in numbers that come from the shape of `other`. Passes no gradient.
 */
export function notBefore(x: Value, other: Value): Value {
  if (other.shape.length === 0 || x.shape.length === 0) return x;
  const first = node1('Shape', [other], { dtype: 'int64', shape: [1] }, { start: 0, end: 1 });
  // 0 is Reshape's word for "this dimension as it is".
  const asItIs = node1('Mul', [first, x.graph.integers(...x.shape.map(() => 0))], { dtype: 'int64', shape: [x.shape.length] });
  return node1('Reshape', [x, asItIs], x);
}
