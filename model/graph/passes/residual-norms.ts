/** What is added to the residual stream and normalized next, in one node: one pass over memory and one node less. */
import type { Graph } from '../graph.ts';
import { sameShape, type Value } from '../value.ts';
import { copyNode, rebuild } from './rebuild.ts';

/**
 * A sum that an RMS norm reads becomes ONNX Runtime's SkipSimplifiedLayerNormalization, which gives the sum as well.
 * https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.SkipSimplifiedLayerNormalization
 */
export function joinResidualNorms(graph: Graph): Graph {
  const norms = new Map(graph.nodes.flatMap((node) => (node.type === 'SimplifiedLayerNormalization' ? [[node.inputs[0], node] as const] : [])));
  const joined = new Map<Value | undefined, Value>();
  return rebuild(graph, (to, node, inputs) => {
    const done = joined.get(node.outputs[0]);
    if (done) return [done];
    const norm = node.type === 'Add' ? norms.get(node.outputs[0] ?? null) : undefined;
    if (!norm) return copyNode(to, node, inputs);
    const [a, b] = inputs;
    // Weights are there from the start; what is computed of them may not be.
    const weight = [...to.inputs, ...to.externals.map(({ value }) => value)].find(({ name }) => name === norm.inputs[1]?.name);
    if (!weight || !a || !b || !sameShape(a.shape, b.shape)) return copyNode(to, node, inputs);
    const [y, , , sum] = to.node('SkipSimplifiedLayerNormalization', [a, b, weight], [a, a, a, a], { epsilon: norm.attributes['epsilon'] ?? { float: 0 } }, 'com.microsoft');
    if (y && norm.outputs[0]) joined.set(norm.outputs[0], y);
    return sum ? [sum] : [];
  });
}
