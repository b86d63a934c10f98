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
   * Gradients of the inputs, of the inputs' shapes; null where there is none. All of them are built; those that nothing needs are
   * not emitted. Null instead of a function: this operation cannot be differentiated.
   */
  readonly gradient: ((at: Application<In, Out, Attributes>) => { readonly [K in keyof In]: Value | null }) | null;
}

/** Applies an operation: emits its nodes and notes it for the reverse pass. */
export function apply<In extends readonly [Value, ...Value[]], Out extends readonly Value[], Attributes>(op: Op<In, Out, Attributes>, inputs: In, attributes: Attributes): Out {
  const graph = inputs[0].graph;
  const outputs = graph.untaped(() => op.emit(inputs, attributes));
  const { gradient } = op;
  graph.record({
    name: op.name,
    inputs,
    outputs,
    // The reverse pass hands over one entry per output, and a value where there is a single one: the tuple type, out of its sight.
    gradient: gradient && ((upstream) => gradient({ inputs, outputs, attributes, upstream: upstream as unknown as Upstream<Out> })),
  });
  return outputs;
}

/** One ONNX node with one output. */
export function node1(type: string, inputs: readonly [Value, ...(Value | null)[]], output: ValueType, attributes: Node['attributes'] = {}, domain: Node['domain'] = ''): Value {
  const [value] = inputs[0].graph.node(type, inputs, [output], attributes, domain);
  if (!value) throw new GraphError(`${type} made no output`);
  return value;
}
