/** Dead-node elimination: what no output needs (gradients of frozen tensors, say) goes. */
import type { Graph } from '../graph.ts';
import { copyNode, rebuild } from './rebuild.ts';

export const removeDeadNodes = (graph: Graph): Graph => rebuild(graph, copyNode);
