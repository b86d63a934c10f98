/** Reverse-mode differentiation: walks the tape backwards and asks each record for its gradient. It knows no operation. */
import { node1 } from './op.ts';
import { recallFrom } from './recall.ts';
import { GraphError, formatShape, sameShape, type Value } from './value.ts';

export interface GradientOptions {
  /** Compute almost everything again for the backward pass: much less memory, about a third more time, the same bytes. Default: only what costs little. */
  readonly recompute?: boolean;
}

/**
 * Builds d(loss)/d(parameter) into the loss's graph.
 * @param loss a scalar (`[]`)
 * @returns one value per parameter, of the parameter's shape, in the order given
 * @throws GraphError if the loss is no scalar, does not depend on a parameter, or passes an operation without a gradient
 */
export function gradients(loss: Value, parameters: readonly Value[], { recompute = false }: GradientOptions = {}): Value[] {
  if (loss.shape.length > 0) throw new GraphError(`the loss has shape ${formatShape(loss.shape)}; a gradient needs a scalar`);
  const graph = loss.graph;
  const dependent = dependents(loss.graph.tape, parameters);
  const recall = recallFrom(graph.tape, dependent, recompute);
  return graph.untaped(() => {
    const collected = new Map<Value, Value>([[loss, graph.scalar(1)]]);
    for (const { name, inputs, outputs, gradient } of graph.tape.toReversed()) {
      if (!inputs.some((input) => dependent.has(input)) || !outputs.some((output) => collected.has(output))) continue;
      if (!gradient) throw new GraphError(`${name} has no gradient`);
      const upstream = outputs.map((output) => collected.get(output) ?? null);
      const recalled = (value: Value): Value => recall(value, upstream.find((g) => g !== null) ?? value);
      const downstream = gradient({ inputs: inputs.map(recalled), outputs: outputs.map(recalled), upstream });
      inputs.forEach((input, i) => {
        const part = downstream[i];
        if (!part || !dependent.has(input)) return;
        if (!sameShape(part.shape, input.shape)) throw new GraphError(`the gradient of ${name} for input ${i} has shape ${formatShape(part.shape)}, not ${formatShape(input.shape)}`);
        const before = collected.get(input);
        // `Sum`, not `Add`: the runtime folds it into the product that made one of its inputs (GemmSumFusion). At once, so that parts need not be held.
        collected.set(input, before ? node1('Sum', [before, part], part) : part);
      });
    }
    return parameters.map((parameter) => {
      const total = collected.get(parameter);
      if (!total) throw new GraphError(`the loss does not depend on ${parameter.name}`);
      return total;
    });
  });
}

/** Every float value that changes when a parameter does. */
function dependents(tape: readonly { readonly inputs: readonly Value[]; readonly outputs: readonly Value[] }[], parameters: readonly Value[]): ReadonlySet<Value> {
  const found = new Set(parameters);
  for (const { inputs, outputs } of tape) {
    if (inputs.some((input) => found.has(input))) for (const output of outputs) if (output.dtype === 'float32') found.add(output);
  }
  return found;
}
