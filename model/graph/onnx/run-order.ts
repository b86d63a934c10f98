/** In which order ONNX Runtime's CPU executor runs nodes, which decides how long each tensor is held. */
import type { Node } from '../graph.ts';

/**
 * Nodes in an order for the file in which each output is computed as early as it can be, outputs that were made first before others. See `runOrder`: it starts from
 * the last node that nothing consumes. The other way round, every gradient of a low-rank factor would wait for the end of the backward pass, with its
 * inputs in memory.
 */
export function eagerOutputs(nodes: readonly Node[]): readonly Node[] {
  const consumed = new Set(nodes.flatMap((node) => node.inputs));
  const isLast = (node: Node): boolean => !node.outputs.some((output) => consumed.has(output));
  return [...nodes.filter((node) => !isLast(node)), ...nodes.filter(isLast).toReversed()];
}

/**
 * The order in which nodes of a file are run: depth-first from the nodes without consumers, the last one of the file first; of what a node needs, what comes last in the
 * file first (onnxruntime `core/graph/graph.cc`, `Graph::ReverseDFSFrom`, as used by `GraphViewer`).
 */
export function runOrder(nodes: readonly Node[]): readonly Node[] {
  const places = new Map(nodes.flatMap((node, place) => node.outputs.map((output) => [output, place] as const)));
  const consumed = new Set(nodes.flatMap((node) => node.inputs));
  const stack = nodes.flatMap((node, place) => (node.outputs.some((output) => consumed.has(output)) ? [] : [{ place, isReady: false }]));
  const visited = new Set<number>();
  const order: Node[] = [];
  for (let entry = stack.pop(); entry; entry = stack.pop()) {
    const node = nodes[entry.place];
    if (!node) continue;
    if (entry.isReady) order.push(node);
    if (entry.isReady || visited.has(entry.place)) continue;
    visited.add(entry.place);
    stack.push({ place: entry.place, isReady: true });
    const needed = node.inputs.flatMap((input) => (input ? places.get(input) ?? [] : [])).sort((a, b) => a - b);
    for (const place of needed) if (!visited.has(place)) stack.push({ place, isReady: false });
  }
  return order;
}
