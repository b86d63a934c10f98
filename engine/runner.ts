/** ONNX Runtime sessions over one set of base weights, for prompts and for decoding. Builds feeds, runs a step. */
import { createHash } from 'node:crypto';
import { rename, stat, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { ModelConfig } from '../model/model.ts';
import { AdapterBank, type AdapterMatrices, type AdapterPlace } from './adapter-bank.ts';
import { MAX_BATCH, names, stepGraph, type GraphWeights, type Phase } from './decode-graph.ts';
import type { KvCache } from './kv.ts';
import type { Runtime, Session, Tensors, TensorView, TensorViews } from './session/session.ts';
import { newOutput, outputRows, outputViews, type StepOutput } from './step-output.ts';

export interface RunInput {
  /** `[batch, time]`, row after row. More than one token a row only with batch 1 (a limit of the attention kernel). */
  readonly tokenIds: Int32Array;
  readonly batch: number;
  /** `[batch]`: positions that each row has in the cache already. */
  readonly pasts: Int32Array;
  /** Rows `slot … slot + batch − 1` are read and appended to; the caller reserved the room. */
  readonly cache: KvCache;
  readonly slot: number;
  /** `[batch]`: each row's adapter, which is this runner's; null for the base model. */
  readonly adapters: readonly (AdapterPlace | null)[];
  /** `[batch]`: of each row's probabilities. Default: 1. */
  readonly temperatures?: Float32Array;
  /** A row's last digits may depend on how many rows there are: so few are then computed in the form that is fastest for them. Default: false. */
  readonly mayDependOnBatch?: boolean;
}

export interface RunnerOptions {
  readonly runtime: Runtime;
  readonly config: ModelConfig;
  readonly weights: GraphWeights;
  /** Projections that take an adapter. */
  readonly targets: readonly string[];
  readonly maxContext: number;
  /** 0: as many as there are cores, or one for a small model. */
  readonly threads: number;
  /** Whether it is never released. */
  readonly isLasting: boolean;
}

/** Below this a step is too short to be shared out: measured on a model of 1M parameters, one thread is as fast as two. */
const SMALL_MODEL_BYTES = 32 * 1024 * 1024;

/** Up to so many rows the weights in the order for prompts are faster: milliseconds of SmolLM2's products at 1, 2, 4, 8 rows 7.2, 9.0, 10.9, 15.0; as they lie 12.4, 12.0, 12.1, 12.4. */
const FEW_ROWS = 4;

interface Sessions {
  readonly prompt: Session;
  readonly decode: Session;
  /** With rows of several adapters. */
  readonly mixed: Session;
  /** Without adapters: what they would add of zeros costs a third of a small model's step, and a tenth of the time in which a prompt is read. */
  readonly promptBase: Session;
  readonly decodeBase: Session;
}

/** A session and what it is fed beside tokens and caches. */
interface Sourced {
  readonly session: Session;
  readonly standing: readonly Tensors[];
  /** Which ranks are whose; where rows have several adapters. */
  readonly masks?: TensorViews;
}

export class Runner {
  readonly config: ModelConfig;
  readonly targets: readonly string[];
  readonly #sessions: Sessions;
  readonly #resident: Tensors;
  readonly #caches = new CacheTensors();
  readonly #bank: AdapterBank;
  #output = newOutput(0, 0);

  private constructor(sessions: Sessions, { config, targets, weights }: RunnerOptions) {
    this.#sessions = sessions;
    this.#resident = { inputs: weights.resident, outputs: {} };
    this.config = config;
    this.targets = targets;
    this.#bank = new AdapterBank(config, targets);
  }

  /** Blocks its thread while the weights are prepared. */
  static async open(options: RunnerOptions): Promise<Runner> {
    const { runtime, config, weights, targets, maxContext, threads, isLasting } = options;
    const { blob, quantized } = weights;
    const open = async (phase: Phase, adapted: readonly string[]): Promise<Session> => {
      const path = await writeGraph(blob.directory, stepGraph(phase, config, weights, adapted, maxContext));
      const given = phase === 'prompt' ? weights.prompts : weights.embedding;
      return runtime.open({ path, threads: threads || (blob.bytes < SMALL_MODEL_BYTES ? 1 : availableParallelism()), ...(Object.keys(given).length > 0 ? { weights: given } : {}), isLasting });
    };
    const prompt = await open('prompt', targets);
    // The kernel for 8 bits is the same for few rows and for many.
    const decode = quantized ? prompt : await open('decode', targets);
    if (targets.length === 0) return new Runner({ prompt, decode, mixed: decode, promptBase: prompt, decodeBase: decode }, options);
    const promptBase = await open('prompt', []);
    return new Runner({ prompt, decode, mixed: await open('mixed', targets), promptBase, decodeBase: quantized ? promptBase : await open('decode', []) }, options);
  }

  /** Takes in an adapter on some of its targets; to swap is to run with another. @throws RangeError where there is no memory */
  addAdapter(matrices: AdapterMatrices): AdapterPlace {
    return this.#bank.add(matrices);
  }

  removeAdapter(place: AdapterPlace): void {
    this.#bank.remove(place);
  }

  /** Appends the tokens to the cache. @returns what follows each row's last token; overwritten by the next run */
  async run(input: RunInput): Promise<StepOutput> {
    const { tokenIds, batch, pasts, slot, adapters, temperatures = new Float32Array(batch).fill(1), mayDependOnBatch = false } = input;
    const { vocabSize } = this.config;
    const time = tokenIds.length / batch;
    if (this.#output.logits.length < batch * vocabSize) this.#output = newOutput(batch, vocabSize);
    for (let from = 0; from < batch; from += MAX_BATCH) {
      const to = Math.min(from + MAX_BATCH, batch);
      const part = { ...input, tokenIds: tokenIds.subarray(from * time, to * time), batch: to - from, pasts: pasts.subarray(from, to), slot: slot + from, adapters: adapters.slice(from, to), temperatures: temperatures.subarray(from, to), mayDependOnBatch };
      const { session, standing, masks } = time > 1 ? this.#forPrompt(part.adapters[0] ?? null) : this.#forDecoding(part);
      await session.run({ inputs: { ...stepInputs(part, session.inputNames), ...masks }, outputs: outputViews(outputRows(this.#output, vocabSize, from, to), to - from) }, [this.#caches.of(part), ...standing]);
    }
    return outputRows(this.#output, vocabSize, 0, batch);
  }

  #forPrompt(adapter: AdapterPlace | null): Sourced {
    return adapter ? { session: this.#sessions.prompt, standing: [this.#bank.feedsOf(adapter)] } : { session: this.#sessions.promptBase, standing: [] };
  }

  #forDecoding({ adapters, mayDependOnBatch }: Pick<Required<RunInput>, 'adapters' | 'mayDependOnBatch'>): Sourced {
    const { decode, mixed, decodeBase } = this.#sessions;
    const [first = null] = adapters;
    const isOne = adapters.every((adapter) => adapter === first);
    if (isOne && mayDependOnBatch && adapters.length <= FEW_ROWS) return this.#forPrompt(first);
    if (isOne) return first ? { session: decode, standing: [this.#resident, this.#bank.feedsOf(first)] } : { session: decodeBase, standing: [this.#resident] };
    const { factors, masks } = this.#bank.feedsOfRows(adapters);
    return { session: mixed, standing: [this.#resident, factors], masks };
  }

  async release(): Promise<void> {
    await Promise.all([...new Set(Object.values(this.#sessions))].map((session) => session.release()));
  }
}

function stepInputs({ tokenIds, batch, pasts, temperatures }: Required<RunInput>, inputNames: readonly string[]): TensorViews {
  const time = tokenIds.length / batch;
  return {
    ...(inputNames.includes(names.positions) ? { [names.positions]: positionsOf(pasts, time) } : {}),
    [names.inverseTemperature]: { data: temperatures.map((temperature) => 1 / temperature), shape: [batch, 1] },
    [names.tokenIds]: { data: BigInt64Array.from(tokenIds, BigInt), shape: [batch, time] },
    [names.lastPosition]: { data: pasts.map((past) => past + time - 1), shape: [batch] },
    [names.longest]: { data: Int32Array.of(pasts.reduce((longest, past) => Math.max(longest, past), 0) + time), shape: [] },
    [names.wanted]: { data: BigInt64Array.from({ length: batch }, (_, row) => BigInt((row + 1) * time - 1)), shape: [batch] },
  };
}

function positionsOf(pasts: Int32Array, time: number): TensorView {
  const positions = BigInt64Array.from({ length: pasts.length * time }, (_, i) => BigInt((pasts[Math.floor(i / time)] ?? 0) + (i % time)));
  return { data: positions, shape: [pasts.length, time] };
}

/** Slots of caches as tensors, for as long as a cache lies where it does. They are inputs, and outputs again where they are: the kernel appends in place. */
class CacheTensors {
  readonly #known = new WeakMap<KvCache['buffers'], Map<number, Tensors>>();

  of({ cache, slot, batch }: Pick<RunInput, 'cache' | 'slot' | 'batch'>): Tensors {
    const ofCache = this.#known.get(cache.buffers) ?? new Map<number, Tensors>();
    this.#known.set(cache.buffers, ofCache);
    const key = slot * (MAX_BATCH + 1) + batch;
    const known = ofCache.get(key);
    if (known) return known;
    const shape = [batch, cache.shape.kvHeads, cache.positions, cache.shape.headDim];
    const views = cache.buffers.map((_, buffer) => ({ data: cache.view(buffer, slot, batch), shape }));
    const named = (name: (buffer: number) => string): TensorViews => Object.fromEntries(views.map((view, buffer) => [name(buffer), view]));
    const tensors = { inputs: named(names.past), outputs: named(names.present) };
    ofCache.set(key, tensors);
    return tensors;
  }
}

/** The file is named by its content, so that a graph of another version of this program is never taken for it. */
async function writeGraph(directory: string, bytes: Uint8Array): Promise<string> {
  const path = join(directory, `decode-${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}.onnx`);
  const exists = await stat(path).then(() => true, () => false);
  if (exists) return path;
  const temporary = `${path}.${process.pid}.tmp`;
  await writeFile(temporary, bytes);
  await rename(temporary, path);
  return path;
}
