/** What the engine needs of ONNX Runtime: sessions that compute outputs into memory that the caller owns. */
import { PortableRuntime } from './portable.ts';

/** A dense tensor over memory of the caller's, row-major. */
export interface TensorView {
  readonly data: Float32Array | Int32Array | BigInt64Array;
  readonly shape: readonly number[];
}

export type TensorViews = Readonly<Record<string, TensorView>>;

/** Some of a run's tensors, by the names of the graph's inputs and outputs. */
export interface Tensors {
  readonly inputs: TensorViews;
  readonly outputs: TensorViews;
}

export interface Session {
  readonly inputNames: readonly string[];
  /**
   * Blocks its thread, but lets messages that have arrived be handled first. An input's memory may be an output's too where the kernel works in place.
   * @param standing the rest of the tensors. What the runtime needs to know of such an object is made once: a step has hundreds of tensors, and all but a few are those of the step before
   * @throws Error the runtime's own message
   */
  run(tensors: Tensors, standing?: readonly Tensors[]): Promise<void>;
  release(): Promise<void>;
}

export interface SessionFile {
  /** The `.onnx` file; what it refers to lies beside it. */
  readonly path: string;
  /** Threads of one run. */
  readonly threads: number;
  /**
   * Weights by the names of the graph's initializers, which are then not read from files. Through the C API, sessions that are given the same object share what the runtime prepares
   * of them; it is kept as long as the runtime.
   */
  readonly weights?: TensorViews;
  /** It stays for good, so that it pays to gather what it has prepared in large pages. Default: false. */
  readonly isLasting?: boolean;
}

export interface Runtime {
  /** `c-api`: nothing is copied. `package`: the binding copies every output, caches included, which is slower and otherwise the same. */
  readonly kind: 'c-api' | 'package';
  /** Blocks its thread while the weights are prepared. @throws Error the runtime's own message */
  open(file: SessionFile): Promise<Session>;
}

/** The C API where it can be called, else the package's own binding. */
export async function openRuntime(): Promise<Runtime> {
  try {
    const { NativeRuntime } = await import('./native.ts');
    return new NativeRuntime();
  } catch {
    return new PortableRuntime(); // no koffi for this platform, or another layout of the package
  }
}
