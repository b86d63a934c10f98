/** In which order ONNX Runtime's CPU executor runs nodes, which decides how long each tensor is held. */
import type { Node } from '../graph.ts';

/**
 * The executor walks depth-first from the nodes without consumers, the last one of the file first: it runs what that node needs, then the node, then what
 * the one before it in the file still needs, and so on (GraphViewer, `Graph::ReverseDFSFrom`). So these nodes are put last, in reverse: outputs are then computed in the
 * order in which their nodes were made, each as early as it can be. The other way round, every gradient of a low-rank factor would wait for the end of the
 * backward pass, with its inputs in memory.
 */
export function eagerOutputs(nodes: readonly Node[]): readonly Node[] {
  const consumed = new Set(nodes.flatMap((node) => node.inputs));
  const isLast = (node: Node): boolean => !node.outputs.some((output) => consumed.has(output));
  return [...nodes.filter((node) => !isLast(node)), ...nodes.filter(isLast).toReversed()];
}
