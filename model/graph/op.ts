/**
 * One operation, one record: its name, the ONNX nodes it emits with their shape rule, and its gradient, side by side. The reverse
 * pass knows no operation, so adding one touches one file of `ops/`.
 */
import { GraphError, type Value, type ValueType } from './value.ts';
import type { Node } from './graph.ts';

/** Upstream gradients: of a single output it is always there; of several, those that nothing asks about are null. */
export type Upstream<Out extends readonly Value[]> = Out extends readonly [Value] ? readonly [Value] : { readonly [K in keyof Out]: Value | null };

export interface Application<In extends readonly Value[], Out extends readonly Value[], Attributes> {
  readonly inputs: In;
  readonly outputs: Out;
  readonly attributes: Attributes;
  readonly upstream: Upstream<Out>;
}

export interface Op<In extends readonly Value[], Out extends readonly Value[], Attributes = undefined> {
  readonly name: string;
  /** Emits the nodes. May be built of other operations: they are not differentiated, this record's gradient is. */
  readonly emit: (inputs: In, attributes: Attributes) => Out;
  /**
   * So many outputs, from the first, are kept for the backward pass; the others are computed again there. 0 where computing costs a pass over memory and the
   * gradient reads the inputs anyway, so that keeping the output too would buy little. Default: all.
   */
  readonly kept?: number;
  /**
   * Gradients of the inputs, of the inputs' shapes; null where there is none. All of them are built; those that nothing needs are
   * not emitted. Null instead of a function: this operation cannot be differentiated.
   */
  readonly gradient: ((at: Application<In, Out, Attributes>) => { readonly [K in keyof In]: Value | null }) | null;
}

/** Applies an operation: emits its nodes and notes it for the reverse pass. */
export function apply<In extends readonly [Value, ...Value[]], Out extends readonly Value[], Attributes>(op: Op<In, Out, Attributes>, inputs: In, attributes: Attributes): Out {
  const graph = inputs[0].graph;
  const emit = (inputs: In): Out => graph.untaped(() => op.emit(inputs, attributes));
  const outputs = emit(inputs);
  const { gradient } = op;
  graph.record({
    name: op.name,
    inputs,
    outputs,
    kept: op.kept ?? outputs.length,
    // The reverse pass hands over what it got here, or values equal to them, and one upstream gradient per output: the tuple types, out of its sight.
    again: (equal) => emit(equal as In),
    gradient: gradient && ((at) => gradient({ inputs: at.inputs as In, outputs: at.outputs as Out, attributes, upstream: at.upstream as unknown as Upstream<Out> })),
  });
  return outputs;
}

/** One ONNX node with one output. */
export function node1(type: string, inputs: readonly [Value, ...(Value | null)[]], output: ValueType, attributes: Node['attributes'] = {}, domain: Node['domain'] = ''): Value {
  const [value] = inputs[0].graph.node(type, inputs, [output], attributes, domain);
  if (!value) throw new GraphError(`${type} made no output`);
  return value;
}
