/** What flows along the edges of a graph. */
import type { Graph } from './graph.ts';

export type DType = 'float32' | 'int64' | 'int32' | 'uint8' | 'bool';

/**
 * One dimension: a number, or a name for what is known only when the graph runs (`'B'`). Two dimensions with the same name are
 * equal; a flattened shape is named by its factors (`[B, S]` → `'B*S'`).
 */
export type Dim = number | string;
export type Shape = readonly Dim[];

export interface ValueType {
  readonly dtype: DType;
  readonly shape: Shape;
}

/** A tensor in a graph that is being built. Made by the operations of `ops/`, `Graph.input`, `Graph.constant` and `Graph.external`. */
export interface Value extends ValueType {
  readonly graph: Graph;
  /** Unique in its graph. */
  readonly name: string;
}

export class GraphError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'GraphError';
  }
}

export const formatShape = (shape: Shape): string => `[${shape.join(', ')}]`;

/** A dimension from the end: `dimOf(x, -1)` is the last one. @throws GraphError if x has no such axis */
export function dimOf(x: ValueType, axis: number): Dim {
  const dim = x.shape.at(axis);
  if (dim === undefined) throw new GraphError(`axis ${axis} of a tensor of shape ${formatShape(x.shape)}`);
  return dim;
}

/** `axis` counted from the front. */
export function frontAxis(x: ValueType, axis: number): number {
  const front = axis < 0 ? x.shape.length + axis : axis;
  if (front < 0 || front >= x.shape.length) throw new GraphError(`axis ${axis} of a tensor of shape ${formatShape(x.shape)}`);
  return front;
}

export const sameShape = (a: Shape, b: Shape): boolean => a.length === b.length && a.every((dim, i) => dim === b[i]);

/** NumPy broadcasting. @throws GraphError where two dimensions differ and neither is 1 */
export function broadcastShapes(a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[i - rank + a.length] ?? 1;
    const y = b[i - rank + b.length] ?? 1;
    if (x !== y && x !== 1 && y !== 1) throw new GraphError(`shapes ${formatShape(a)} and ${formatShape(b)} do not broadcast`);
    return x === 1 ? y : x;
  });
}

/** The product of dimensions; names are joined (`['B', 'S', 4]` → `'4*B*S'`). */
export function productOf(dims: Shape): Dim {
  const { count, names } = factorsOf(dims);
  if (names.length === 0) return count;
  return [...(count === 1 ? [] : [String(count)]), ...names].join('*');
}

/** A product of dimensions taken apart: its number, and the names that stand for unknown factors. */
export function factorsOf(dims: Shape): { readonly count: number; readonly names: readonly string[] } {
  const factors = dims.flatMap((dim) => String(dim).split('*'));
  const isNumber = (factor: string): boolean => /^\d+$/.test(factor);
  return { count: factors.filter(isNumber).reduce((product, factor) => product * Number(factor), 1), names: factors.filter((factor) => !isNumber(factor)) };
}
