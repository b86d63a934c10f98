/** A session through ONNX Runtime's C API: outputs are written where the caller wants them, and nothing is copied. */
import { setImmediate } from 'node:timers/promises';
import { openApi, type OrtApi } from './c-api.ts';
import { watchMemory } from './large-pages.ts';
import { SPIN_US } from './options.ts';
import type { Runtime, Session, SessionFile, Tensors, TensorView, TensorViews } from './session.ts';

// Values of the C API's enumerations.
const LOG_FATAL = 4;
const OPTIMIZE_ALL = 99;
const ARENA_ALLOCATOR = 1;
const MEMORY_DEFAULT = 0;
const ELEMENT = { Float32Array: 1, Int32Array: 6, BigInt64Array: 7 } as const;

/** Weights that sessions share. */
interface Shared {
  readonly values: ReadonlyMap<string, bigint>;
  /** What the runtime has prepared of them. */
  readonly container: bigint;
}

export class NativeRuntime implements Runtime {
  readonly kind = 'c-api';
  readonly #api: OrtApi;
  readonly #env: bigint;
  readonly #memory: bigint;
  /** Never released: sessions read them as long as they live. */
  readonly #shared = new Map<TensorViews, Shared>();

  /** @throws Error where the library cannot be called this way */
  constructor() {
    this.#api = openApi();
    this.#env = made((out) => { this.#api.createEnv(LOG_FATAL, 'fulgurite', out); });
    this.#memory = made((out) => { this.#api.createCpuMemoryInfo(ARENA_ALLOCATOR, MEMORY_DEFAULT, out); });
  }

  open({ path, threads, weights, isLasting = false }: SessionFile): Promise<Session> {
    const api = this.#api;
    const options = made((out) => { api.createSessionOptions(out); });
    try {
      api.setSessionLogSeverityLevel(options, LOG_FATAL); // every error is thrown as well
      api.setSessionGraphOptimizationLevel(options, OPTIMIZE_ALL);
      api.setIntraOpNumThreads(options, threads);
      api.setInterOpNumThreads(options, 1);
      api.addSessionConfigEntry(options, 'session.intra_op.spin_duration_us', SPIN_US);
      api.disableMemPattern(options); // a plan of memory for every shape that ever came, kept for good: prompts have hundreds
      const shared = weights && this.#share(weights);
      for (const [name, value] of shared?.values ?? []) api.addInitializer(options, name, value);
      const gather = isLasting ? watchMemory() : null;
      const session = made((out) => {
        if (shared) api.createSessionWithPrepackedWeightsContainer(this.#env, path, options, shared.container, out);
        else api.createSession(this.#env, path, options, out);
      });
      void gather?.();
      return Promise.resolve(new NativeSession(api, session, this.#memory));
    } finally {
      api.releaseSessionOptions(options);
    }
  }

  #share(weights: TensorViews): Shared {
    const known = this.#shared.get(weights);
    if (known) return known;
    const shared = {
      values: new Map(Object.entries(weights).map(([name, view]) => [name, tensorValue(this.#api, this.#memory, view)])),
      container: made((out) => { this.#api.createPrepackedWeightsContainer(out); }),
    };
    this.#shared.set(weights, shared);
    return shared;
  }
}

/** What a run is told of some tensors: addresses of names, and of values, side by side. */
type Bound = Readonly<Record<'inputNames' | 'inputs' | 'outputNames' | 'outputs', BigUint64Array>>;

class NativeSession implements Session {
  readonly inputNames: readonly string[];
  readonly #api: OrtApi;
  readonly #session: bigint;
  readonly #memory: bigint;
  /** Names as the runtime reads them: bytes ending in 0, and where they lie. */
  readonly #names = new Map<string, { readonly bytes: Uint8Array; readonly address: bigint }>();
  /** Of standing tensors. Their values are released when nobody can run with them any more. */
  readonly #bound = new WeakMap<Tensors, Bound>();
  readonly #unreachable: FinalizationRegistry<Bound>;

  constructor(api: OrtApi, session: bigint, memory: bigint) {
    this.#api = api;
    this.#session = session;
    this.#memory = memory;
    this.inputNames = namesOf(api, session);
    this.#unreachable = new FinalizationRegistry((bound) => { this.#release(bound); });
  }

  async run(tensors: Tensors, standing: readonly Tensors[] = []): Promise<void> {
    await setImmediate();
    const step = this.#bind(tensors);
    try {
      const parts = [step, ...standing.map((part) => this.#standing(part))];
      const inputs = addresses(parts, 'inputs'), outputs = addresses(parts, 'outputs');
      this.#api.run(this.#session, null, addresses(parts, 'inputNames'), inputs, inputs.length, addresses(parts, 'outputNames'), outputs.length, outputs);
    } finally {
      this.#release(step);
    }
  }

  release(): Promise<void> {
    this.#api.releaseSession(this.#session);
    return Promise.resolve();
  }

  #standing(tensors: Tensors): Bound {
    const known = this.#bound.get(tensors);
    if (known) return known;
    const bound = this.#bind(tensors);
    this.#bound.set(tensors, bound);
    this.#unreachable.register(tensors, bound);
    return bound;
  }

  #bind({ inputs, outputs }: Tensors): Bound {
    const values: bigint[] = [];
    const valuesOf = (views: TensorViews): BigUint64Array => BigUint64Array.from(Object.values(views), (view) => {
      const value = tensorValue(this.#api, this.#memory, view);
      values.push(value);
      return value;
    });
    const namesIn = (views: TensorViews): BigUint64Array => BigUint64Array.from(Object.keys(views), (name) => this.#nameAddress(name));
    try {
      return { inputNames: namesIn(inputs), inputs: valuesOf(inputs), outputNames: namesIn(outputs), outputs: valuesOf(outputs) };
    } catch (error) {
      for (const value of values) this.#api.releaseValue(value);
      throw error;
    }
  }

  #release({ inputs, outputs }: Bound): void {
    for (const values of [inputs, outputs]) for (const value of values) this.#api.releaseValue(value);
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

function addresses(parts: readonly Bound[], of: keyof Bound): BigUint64Array {
  const all = new BigUint64Array(parts.reduce((sum, part) => sum + part[of].length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part[of], at);
    at += part[of].length;
  }
  return all;
}

/** A value over memory of the caller's. */
function tensorValue(api: OrtApi, memory: bigint, { data, shape }: TensorView): bigint {
  const type = data instanceof Float32Array ? ELEMENT.Float32Array : data instanceof Int32Array ? ELEMENT.Int32Array : ELEMENT.BigInt64Array;
  return made((out) => { api.createTensorWithDataAsOrtValue(memory, data, data.byteLength, BigInt64Array.from(shape, BigInt), shape.length, type, out); });
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
