/** A graph built again, node by node: what every pass is made of. The result is for running; it has no tape to differentiate. */
import { Graph, type Node } from '../graph.ts';
import { GraphError, type Value } from '../value.ts';

/** Emits into `to` what stands for a node, whose inputs are given there, as are the values of its `after`. One value per output of the node. */
export type Rewrite = (to: Graph, node: Node, inputs: Node['inputs']) => readonly Value[];

export const copyNode: Rewrite = (to, { type, outputs, attributes, domain, after }, inputs) => to.node(type, inputs, outputs, attributes, domain, after);

/** Nodes, inputs, constants and external tensors that no output needs are left out. */
export function rebuild(from: Graph, rewrite: Rewrite): Graph {
  const to = new Graph();
  const live = liveValues(from);
  const copies = new Map<Value, Value>();
  const copyOf = (value: Value): Value => {
    const copy = copies.get(value);
    if (!copy) throw new GraphError(`${value.name} is used before it is made`);
    return copy;
  };
  for (const input of from.inputs) if (live.has(input)) copies.set(input, to.input(input.name, input.dtype, input.shape));
  for (const { value, data } of from.constants) if (live.has(value)) copies.set(value, to.constant(data, value.shape.map(Number)));
  for (const { value, data } of from.externals) if (live.has(value)) copies.set(value, to.external(value.name, value.shape.map(Number), data));
  for (const node of from.nodes) {
    if (!node.outputs.some((output) => live.has(output))) continue;
    // What nothing needs is not waited for.
    const placed = node.after ? { ...node, after: node.after.flatMap((value) => copies.get(value) ?? []) } : node;
    const outputs = to.untaped(() => rewrite(to, placed, node.inputs.map((input) => input && copyOf(input))));
    node.outputs.forEach((output, i) => {
      const copy = outputs[i];
      if (copy) copies.set(output, copy);
    });
  }
  for (const [name, value] of from.outputs) to.output(name, copyOf(value));
  return to;
}

/** Everything that the outputs depend on, and the values made beside it. */
function liveValues(graph: Graph): ReadonlySet<Value> {
  const live = new Set(graph.outputs.values());
  for (const { inputs, outputs } of graph.nodes.toReversed()) {
    if (!outputs.some((output) => live.has(output))) continue;
    for (const input of inputs) if (input) live.add(input);
  }
  return live;
}
