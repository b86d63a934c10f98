/** Order where there is no flow of data. */
import { GraphError, type Value } from '../value.ts';

/**
 * x itself, for what must not be computed before `others` are, as far as they are computed at all: the runtime computes everything as soon as, and only once if, it
 * can. Costs nothing (`passes/order.ts`) and passes no gradient.
 */
export function notBefore(x: Value, ...others: readonly Value[]): Value {
  const [value] = x.graph.node('NotBefore', [x], [x], {}, '', others);
  if (!value) throw new GraphError('NotBefore has one output');
  return value;
}
