/**
 * A graph under construction: a list of ONNX nodes over values, and beside it the tape that the reverse pass walks.
 *
 * ```ts
 * const g = new Graph();
 * const x = g.input('x', 'float32', ['N', 8]);
 * const w = g.external('w', [4, 8], { location: 'weights.bin', offset: 0 });   // or g.input, g.constant
 * g.output('y', gemm(x, w, { transB: true }));
 * writeFileSync('graph.onnx', encodeModel(g));
 * ```
 */
import { GraphError, type DType, type Shape, type Value, type ValueType } from './value.ts';

/** A number is an integer attribute; a float is said so. */
export type Attribute = number | string | readonly number[] | { readonly float: number } | { readonly zeros: DType };

export interface Node {
  readonly type: string;
  readonly domain: '' | 'com.microsoft';
  /** Null: an optional input that is left out. */
  readonly inputs: readonly (Value | null)[];
  readonly outputs: readonly Value[];
  readonly attributes: Readonly<Record<string, Attribute>>;
  /** To run only once these are computed, as far as they are computed at all. Said by `NotBefore` alone, which is no ONNX node: see `ops/not-before.ts`. */
  readonly after?: readonly Value[];
}

export interface Constant {
  readonly value: Value;
  readonly data: Float32Array | Int32Array | BigInt64Array;
}

/** Where an initializer's bytes lie: row-major, little-endian, `offset` bytes into a file beside the `.onnx`. */
export interface ExternalData {
  readonly location: string;
  readonly offset: number;
  /** Default: float32. */
  readonly dtype?: ExternalDType;
}

/** What initializers outside the graph can hold. */
export type ExternalDType = 'float32' | 'uint8';

/** One application of an operation, as the reverse pass sees it. */
export interface TapeEntry {
  readonly name: string;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  /** So many outputs, from the first, are worth keeping in memory for the backward pass. */
  readonly kept: number;
  /** Emits the same on other inputs. */
  readonly again: (inputs: readonly Value[]) => readonly Value[];
  /** Gradients of the inputs. Null: not differentiable. */
  readonly gradient: ((at: Differentiated) => readonly (Value | null)[]) | null;
}

/** What a gradient is made of: the application's inputs and outputs, or equal values, and the upstream gradients (one per output, null where nothing asks). */
export interface Differentiated {
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly upstream: readonly (Value | null)[];
}

/** Constants up to this many elements are shared when equal. */
const SHARED_CONSTANT_ELEMENTS = 64;

export class Graph {
  readonly inputs: Value[] = [];
  readonly constants: Constant[] = [];
  readonly externals: { readonly value: Value; readonly data: ExternalData }[] = [];
  readonly nodes: Node[] = [];
  readonly outputs = new Map<string, Value>();
  readonly tape: TapeEntry[] = [];
  #taping = true;
  #count = 0;
  readonly #names = new Set<string>();
  readonly #shared = new Map<string, Value>();

  /** What is fed at each run. */
  input(name: string, dtype: DType, shape: Shape): Value {
    const value = this.#value(name, { dtype, shape });
    this.inputs.push(value);
    return value;
  }

  /** A tensor stored in the graph. */
  constant(data: Float32Array | Int32Array | BigInt64Array, shape: readonly number[]): Value {
    if (shape.reduce((a, b) => a * b, 1) !== data.length) throw new GraphError(`a constant of shape [${shape.join(', ')}] with ${data.length} elements`);
    const dtype = data instanceof Float32Array ? 'float32' : data instanceof Int32Array ? 'int32' : 'int64';
    const key = data.length <= SHARED_CONSTANT_ELEMENTS ? `${dtype}[${shape.join()}]${data.join()}` : undefined;
    const shared = key === undefined ? undefined : this.#shared.get(key);
    if (shared) return shared;
    const value = this.#value(this.#freshName('c'), { dtype, shape });
    this.constants.push({ value, data });
    if (key !== undefined) this.#shared.set(key, value);
    return value;
  }

  /** A float32 constant without dimensions; broadcasts with everything. */
  scalar(number: number): Value {
    return this.constant(Float32Array.of(number), []);
  }

  /** An int64 vector, as shapes and axes are given to ONNX. */
  integers(...numbers: number[]): Value {
    return this.constant(BigInt64Array.from(numbers, BigInt), [numbers.length]);
  }

  /** A tensor kept in a file beside the graph (a base weight); nothing is copied into the graph. */
  external(name: string, shape: readonly number[], data: ExternalData): Value {
    const value = this.#value(name, { dtype: data.dtype ?? 'float32', shape });
    this.externals.push({ value, data });
    return value;
  }

  /** Adds an ONNX node; the low-level door that operations are made with. */
  node(type: string, inputs: readonly (Value | null)[], types: readonly ValueType[], attributes: Node['attributes'] = {}, domain: Node['domain'] = '', after: readonly Value[] = []): Value[] {
    for (const input of inputs) if (input && input.graph !== this) throw new GraphError(`${type} mixes values of two graphs`);
    const outputs = types.map((output) => this.#value(this.#freshName(type), output));
    this.nodes.push({ type, domain, inputs, outputs, attributes, ...(after.length > 0 ? { after } : {}) });
    return outputs;
  }

  /** Notes an application for the reverse pass, unless it happens inside `untaped`. */
  record(entry: TapeEntry): void {
    if (this.#taping) this.tape.push(entry);
  }

  /** Runs `build` without recording: the insides of a composite operation, and the backward graph itself. */
  untaped<T>(build: () => T): T {
    const before = this.#taping;
    this.#taping = false;
    try {
      return build();
    } finally {
      this.#taping = before;
    }
  }

  /** Makes a value fetchable under a name. What no output needs is not emitted. */
  output(name: string, value: Value): void {
    this.#claim(name);
    this.outputs.set(name, value);
  }

  #claim(name: string): void {
    if (this.#names.has(name)) throw new GraphError(`two values named ${name}`);
    this.#names.add(name);
  }

  #freshName(stem: string): string {
    return `${stem}_${this.#count++}`;
  }

  #value(name: string, type: ValueType): Value {
    this.#claim(name);
    return { graph: this, name, dtype: type.dtype, shape: type.shape };
  }
}
