/** Says `NotBefore` in ONNX, which knows no order but that of the data. */
import type { Graph } from '../graph.ts';
import { node1 } from '../op.ts';
import { GraphError, type Value } from '../value.ts';
import { copyNode, rebuild } from './rebuild.ts';

export const lowerOrder = (graph: Graph): Graph => rebuild(graph, (to, node, inputs) => {
  if (node.type !== 'NotBefore') return copyNode(to, node, inputs);
  const [x] = inputs;
  if (!x) throw new GraphError('NotBefore has one input');
  return [(node.after ?? []).reduce(waiting, x)];
});

/** A reshape to the shape that x has, which moves nothing, said in numbers that come from the shape of another value. */
function waiting(x: Value, other: Value): Value {
  // A tensor without dimensions has no such numbers. It is also nothing that memory is worth saving for.
  if (other.shape.length === 0 || x.shape.length === 0) return x;
  const first = node1('Shape', [other], { dtype: 'int64', shape: [1] }, { start: 0, end: 1 });
  // 0 is Reshape's word for "this dimension as it is".
  const asItIs = node1('Mul', [first, x.graph.integers(...x.shape.map(() => 0))], { dtype: 'int64', shape: [x.shape.length] });
  return node1('Reshape', [x, asItIs], x);
}
