/**
 * What the backward pass finds in memory of the forward pass, and what it computes again (Chen et al., "Training deep nets with sublinear memory cost",
 * arXiv 1604.06174). It knows no operation: a tape entry can be emitted again on other inputs.
 */
import type { TapeEntry } from './graph.ts';
import { notBefore } from './ops/not-before.ts';
import { GraphError, type Value } from './value.ts';

/** A value of the forward pass as the gradient of one application reads it: itself, or an equal one made again once `upstream`, its upstream gradient, is there. */
export type Recall = (value: Value, upstream: Value) => Value;

/**
 * @param dependent values that depend on a parameter; all others are few and small, and stay in memory, as vectors do
 * @param everything compute again all but the bottlenecks, where the graph is one value wide; else only what an operation says is not worth keeping (`Op.kept`)
 */
export function recallFrom(tape: readonly TapeEntry[], dependent: ReadonlySet<Value>, everything: boolean): Recall {
  const makers = new Map(tape.flatMap((entry) => entry.outputs.map((output, i) => [output, { entry, isWorthKeeping: i < entry.kept }] as const)));
  const narrow = everything ? bottlenecks(tape, dependent) : null;
  const copies = new Map<Value, Value>();

  const toMakeAgain = (value: Value): TapeEntry | null => {
    const maker = makers.get(value);
    if (!maker || !dependent.has(value) || value.shape.length < 2) return null;
    return (narrow ? narrow.has(value) : maker.isWorthKeeping) ? null : maker.entry;
  };
  const recall: Recall = (value, upstream) => {
    const entry = toMakeAgain(value);
    if (!entry) return value;
    if (!copies.has(value)) {
      const inputs = entry.inputs.map((input) => recall(input, upstream));
      const waits = inputs.map((input, i) => input !== entry.inputs[i]);
      // At least one input must wait for the backward pass, or the runtime would find that it knows the result already.
      entry.inputs.forEach((input, i) => {
        if (!waits[i] && (makers.has(input) || (i === 0 && !waits.includes(true)))) inputs[i] = notBefore(input, upstream);
      });
      entry.again(inputs).forEach((copy, i) => { copies.set(entry.outputs[i] ?? copy, copy); });
    }
    const copy = copies.get(value);
    if (!copy) throw new GraphError(`${entry.name} did not make ${value.name} again`);
    return copy;
  };
  return recall;
}

/** Values through which everything flows that what follows needs of what came before: with residual connections, the stream between two blocks. */
function bottlenecks(tape: readonly TapeEntry[], dependent: ReadonlySet<Value>): ReadonlySet<Value> {
  const lastUses = new Map(tape.flatMap(({ inputs }, at) => inputs.map((input) => [input, at] as const)));
  const found = new Set<Value>();
  const live = new Set<Value>();
  for (const [at, { inputs, outputs }] of tape.entries()) {
    for (const output of outputs) if (dependent.has(output) && output.shape.length > 1 && lastUses.has(output)) live.add(output);
    for (const input of inputs) if (lastUses.get(input) === at) live.delete(input);
    if (live.size === 1) for (const value of live) found.add(value);
  }
  return found;
}
