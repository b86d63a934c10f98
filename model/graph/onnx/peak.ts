/** How much memory the tensors of a run take, told beforehand. */
import type { Graph } from '../graph.ts';
import { lowerOrder } from '../passes/order.ts';
import { GraphError, type DType, type Value, type ValueType } from '../value.ts';
import { eagerOutputs, runOrder } from './run-order.ts';

/** What these compute is their input under another shape: no memory of its own. */
const VIEWS: ReadonlySet<string> = new Set(['Reshape', 'Squeeze', 'Unsqueeze', 'Identity']);

const BYTES: Readonly<Record<DType, number>> = { float32: 4, int32: 4, int64: 8, uint8: 1, bool: 1 };

/**
 * Bytes that computed tensors take at once at most, for given sizes of the dimensions that have names. Inputs, constants and weights are not counted, nor what a kernel
 * takes for itself. Each tensor is held from the node that makes it to the last that reads it; nothing is computed in place.
 */
export function peakBytes(source: Graph): (sizes: Readonly<Record<string, number>>) => number {
  const graph = lowerOrder(source);
  const order = runOrder(eagerOutputs(graph.nodes));
  const origins = new Map<Value, Value>();
  const lastUses = new Map<Value, number>();
  for (const [at, { type, inputs, outputs }] of order.entries()) {
    const origin = (value: Value): Value => origins.get(value) ?? value;
    for (const output of outputs) {
      if (VIEWS.has(type) && inputs[0]) origins.set(output, origin(inputs[0]));
      else lastUses.set(output, at);
    }
    for (const input of inputs) if (input && lastUses.has(origin(input))) lastUses.set(origin(input), at);
  }
  for (const output of graph.outputs.values()) lastUses.set(origins.get(output) ?? output, order.length);
  // Thousands of tensors, of a few dozen sizes.
  const types: ValueType[] = [];
  const typeNumbers = new Map<string, number>();
  const typeNumber = (value: Value): number => {
    const key = `${value.dtype} ${value.shape.join()}`;
    const number = typeNumbers.get(key) ?? types.push(value) - 1;
    typeNumbers.set(key, number);
    return number;
  };
  const dying = Map.groupBy(lastUses, ([, at]) => at);
  const steps = order.map(({ outputs }, at) => ({
    made: outputs.filter((output) => lastUses.has(output)).map(typeNumber),
    freed: (dying.get(at) ?? []).map(([value]) => typeNumber(value)),
  }));

  return (sizes) => {
    const bytes = types.map(({ dtype, shape }) => shape.reduce<number>((product, dim) => product * sizeOf(dim, sizes), BYTES[dtype]));
    const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + (bytes[number] ?? 0), 0);
    let held = 0;
    let most = 0;
    for (const { made, freed } of steps) {
      held += sum(made);
      most = Math.max(most, held);
      held -= sum(freed);
    }
    return most;
  };
}

/** A number, a name, a part (`time[1:2/4]`, see `ops/part.ts`) or a product of such (`4*batch*time`). */
function sizeOf(dim: number | string, sizes: Readonly<Record<string, number>>): number {
  if (typeof dim === 'number') return dim;
  return dim.split('*').reduce((product, factor) => {
    const [, name = factor, from, to, of] = /^(.+)\[(\d+):(\d+)\/(\d+)\]$/.exec(factor) ?? [];
    const size = /^\d+$/.test(name) ? Number(name) : sizes[name];
    if (size === undefined) throw new GraphError(`the size of ${name} is not given`);
    return product * (of === undefined ? size : Math.floor((size * Number(to)) / Number(of)) - Math.floor((size * Number(from)) / Number(of)));
  }, 1);
}
