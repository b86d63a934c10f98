/** Common-subexpression elimination: what is computed twice is computed once (Cocke, "Global common subexpression elimination", 1970). */
import type { Graph, Node } from '../graph.ts';
import type { Value } from '../value.ts';
import { copyNode, rebuild } from './rebuild.ts';

/**
 * The outputs keep their bytes: only nodes of the same operation, attributes and inputs are joined. Something that is computed again on
 * purpose, to be dropped in between, must differ in an input.
 */
export function shareCommonSubexpressions(graph: Graph): Graph {
  const known = new Map<string, readonly Value[]>();
  return rebuild(graph, (to, node, inputs) => {
    const key = keyOf(node, inputs);
    const outputs = known.get(key) ?? copyNode(to, node, inputs);
    known.set(key, outputs);
    return outputs;
  });
}

/** Equal dimension names are equal numbers, so a shape is the same whichever tensor of that shape it is read off: the first may be freed earlier. */
function keyOf({ type, domain, attributes, outputs, after }: Node, inputs: Node['inputs']): string {
  const operands = inputs.map((input) => (type === 'Shape' ? input?.shape : input?.name) ?? null);
  return JSON.stringify([domain, type, operands, attributes, outputs.length, after?.map(({ name }) => name)]);
}
