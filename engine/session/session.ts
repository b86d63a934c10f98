/** What the engine needs of ONNX Runtime: sessions that compute outputs into memory that the caller owns. */
import { PortableRuntime } from './portable.ts';

/** A dense tensor over memory of the caller's, row-major. */
export interface TensorView {
  readonly data: Float32Array | Int32Array | BigInt64Array;
  readonly shape: readonly number[];
}

export type TensorViews = Readonly<Record<string, TensorView>>;

export interface Session {
  readonly inputNames: readonly string[];
  /**
   * Blocks its thread, but lets messages that have arrived be handled first. An input's memory may be an output's too where the kernel works in place.
   * @throws Error the runtime's own message
   */
  run(inputs: TensorViews, outputs: TensorViews): Promise<void>;
  release(): Promise<void>;
}

export interface SessionFile {
  /** The `.onnx` file; what it refers to lies beside it. */
  readonly path: string;
  /** Threads of one run. */
  readonly threads: number;
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
