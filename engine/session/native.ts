/** A session through ONNX Runtime's C API: outputs are written where the caller wants them, and nothing is copied. */
import { setImmediate } from 'node:timers/promises';
import { openApi, type OrtApi } from './c-api.ts';
import { SPIN_US } from './options.ts';
import type { Runtime, Session, SessionFile, TensorView, TensorViews } from './session.ts';

// Values of the C API's enumerations.
const LOG_FATAL = 4;
const OPTIMIZE_ALL = 99;
const ARENA_ALLOCATOR = 1;
const MEMORY_DEFAULT = 0;
const ELEMENT = { Float32Array: 1, Int32Array: 6, BigInt64Array: 7 } as const;

export class NativeRuntime implements Runtime {
  readonly kind = 'c-api';
  readonly #api: OrtApi;
  readonly #env: bigint;

  /** @throws Error where the library cannot be called this way */
  constructor() {
    this.#api = openApi();
    this.#env = made((out) => { this.#api.createEnv(LOG_FATAL, 'fulgurite', out); });
  }

  open({ path, threads }: SessionFile): Promise<Session> {
    const api = this.#api;
    const options = made((out) => { api.createSessionOptions(out); });
    try {
      api.setSessionLogSeverityLevel(options, LOG_FATAL); // every error is thrown as well
      api.setSessionGraphOptimizationLevel(options, OPTIMIZE_ALL);
      api.setIntraOpNumThreads(options, threads);
      api.setInterOpNumThreads(options, 1);
      api.addSessionConfigEntry(options, 'session.intra_op.spin_duration_us', SPIN_US);
      return Promise.resolve(new NativeSession(api, made((out) => { api.createSession(this.#env, path, options, out); })));
    } finally {
      api.releaseSessionOptions(options);
    }
  }
}

class NativeSession implements Session {
  readonly inputNames: readonly string[];
  readonly #api: OrtApi;
  readonly #session: bigint;
  readonly #memory: bigint;
  /** Names as the runtime reads them: bytes ending in 0, and where they lie. */
  readonly #names = new Map<string, { readonly bytes: Uint8Array; readonly address: bigint }>();

  constructor(api: OrtApi, session: bigint) {
    this.#api = api;
    this.#session = session;
    this.#memory = made((out) => { api.createCpuMemoryInfo(ARENA_ALLOCATOR, MEMORY_DEFAULT, out); });
    this.inputNames = namesOf(api, session);
  }

  async run(inputs: TensorViews, outputs: TensorViews): Promise<void> {
    await setImmediate();
    const values: bigint[] = [];
    const valueOf = (view: TensorView): bigint => {
      const value = this.#value(view);
      values.push(value);
      return value;
    };
    try {
      const [inputNames, inputValues] = this.#arrays(inputs, valueOf);
      const [outputNames, outputValues] = this.#arrays(outputs, valueOf);
      this.#api.run(this.#session, null, inputNames, inputValues, inputNames.length, outputNames, outputNames.length, outputValues);
    } finally {
      for (const value of values) this.#api.releaseValue(value);
    }
  }

  release(): Promise<void> {
    this.#api.releaseSession(this.#session);
    this.#api.releaseMemoryInfo(this.#memory);
    return Promise.resolve();
  }

  #arrays(views: TensorViews, valueOf: (view: TensorView) => bigint): readonly [names: BigUint64Array, values: BigUint64Array] {
    const entries = Object.entries(views);
    return [BigUint64Array.from(entries, ([name]) => this.#nameAddress(name)), BigUint64Array.from(entries, ([, view]) => valueOf(view))];
  }

  #value({ data, shape }: TensorView): bigint {
    const type = data instanceof Float32Array ? ELEMENT.Float32Array : data instanceof Int32Array ? ELEMENT.Int32Array : ELEMENT.BigInt64Array;
    return made((out) => { this.#api.createTensorWithDataAsOrtValue(this.#memory, data, data.byteLength, BigInt64Array.from(shape, BigInt), shape.length, type, out); });
  }

  #nameAddress(name: string): bigint {
    const known = this.#names.get(name);
    if (known) return known.address;
    const bytes = Uint8Array.from(Buffer.from(`${name}\0`));
    const address = this.#api.addressOf(bytes);
    this.#names.set(name, { bytes, address });
    return address;
  }
}

function namesOf(api: OrtApi, session: bigint): string[] {
  const count = made((out) => { api.sessionGetInputCount(session, out); });
  const allocator = made((out) => { api.getAllocatorWithDefaultOptions(out); });
  return Array.from({ length: Number(count) }, (_, index) => {
    const name = made((out) => { api.sessionGetInputName(session, index, allocator, out); });
    try {
      return api.textAt(name);
    } finally {
      api.allocatorFree(allocator, name);
    }
  });
}

/** What a function writes to its last parameter. */
function made(make: (out: BigUint64Array) => void): bigint {
  const out = new BigUint64Array(1);
  make(out);
  return out[0] ?? 0n;
}
