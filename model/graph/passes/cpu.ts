/** Lowering for ONNX Runtime's CPU provider. */
import type { Graph, Node } from '../graph.ts';
import { node1 } from '../op.ts';
import { sameShape, type Value } from '../value.ts';
import { removeDeadNodes } from './dead-nodes.ts';
import { copyNode, rebuild } from './rebuild.ts';

/**
 * What is added to a matrix product becomes the product's third input, which saves a pass over memory: what adapters and residual connections add, and gradients that
 * come from several sides. (The runtime's own GemmSumFusion wants to know the shapes.) The same numbers to rounding.
 */
export function lowerForCpu(source: Graph): Graph {
  const graph = removeDeadNodes(source);
  const makers = new Map(graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
  const uses = new Map<Value, number>();
  for (const value of [...graph.nodes.flatMap(({ inputs }) => inputs.flatMap((input) => input ?? [])), ...graph.outputs.values()]) uses.set(value, (uses.get(value) ?? 0) + 1);
  const isFoldable = (value: Value): boolean => makers.get(value)?.type === 'Gemm' && makers.get(value)?.inputs.length === 2 && uses.get(value) === 1;

  const products = new Map<Value, { readonly node: Node; readonly inputs: Node['inputs'] }>();
  return rebuild(graph, (to, node, inputs) => {
    const copies = copyNode(to, node, inputs);
    const [copy] = copies;
    if (copy && node.type === 'Gemm') products.set(copy, { node, inputs });
    const [left, right] = node.inputs;
    const [a, b] = inputs;
    if ((node.type !== 'Add' && node.type !== 'Sum') || !left || !right || !a || !b || inputs.length > 2 || !sameShape(left.shape, right.shape)) return copies;
    const [product, other] = isFoldable(right) ? [b, a] : isFoldable(left) ? [a, b] : [null, null];
    const folded = product && products.get(product);
    if (!folded) return copies;
    const [x, y] = folded.inputs;
    return x && y ? [node1('Gemm', [x, y, other], copy ?? product, folded.node.attributes)] : copies;
  });
}
