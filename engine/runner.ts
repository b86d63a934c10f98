/** One ONNX Runtime session over one set of base weights. Builds feeds, runs a step. */
import { createHash } from 'node:crypto';
import { rename, stat, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { WeightBlob } from '../model/graph/weight-blob.ts';
import type { ModelConfig } from '../model/model.ts';
import { adaptedModules, decodeGraph, names } from './decode-graph.ts';
import type { KvCache } from './kv.ts';
import { runInPlace, stopFetch } from './no-copy.ts';

export interface RunInput {
  /** `[batch, time]`, row after row. More than one token a row only with batch 1 (a limit of the attention kernel). */
  readonly tokenIds: Int32Array;
  readonly batch: number;
  /** `[batch]`: positions that each row has in the cache already. */
  readonly pasts: Int32Array;
  /** Rows `slot … slot + batch − 1` are read and appended to; the caller reserved the room. */
  readonly cache: KvCache;
  readonly slot: number;
}

export type Tensors = Readonly<Record<string, Tensor>>;

interface CacheTensors {
  readonly feeds: Tensors;
  readonly fetches: Tensors;
}

export interface RunnerOptions {
  readonly config: ModelConfig;
  readonly blob: WeightBlob;
  /** Projections that take an adapter. */
  readonly targets: readonly string[];
  readonly maxContext: number;
  /** 0: as many as there are cores, or one for a small model. */
  readonly threads: number;
}

/** Below this a step is too short to be shared out: measured on a model of 1M parameters, one thread is as fast as two. */
const SMALL_MODEL_BYTES = 32 * 1024 * 1024;

export class Runner {
  readonly config: ModelConfig;
  readonly targets: readonly string[];
  readonly #session: InferenceSession;
  /** Tensors over a cache's memory, by slot and batch; they live as long as its buffers do. */
  readonly #cacheTensors = new WeakMap<KvCache['buffers'], Map<string, CacheTensors>>();
  #logits = new Float32Array(0);

  private constructor(session: InferenceSession, { config, targets }: RunnerOptions) {
    this.#session = session;
    this.config = config;
    this.targets = targets;
  }

  /** Blocks its thread while the weights are prepared. */
  static async open(options: RunnerOptions): Promise<Runner> {
    const { config, blob, targets, maxContext, threads } = options;
    const path = await writeGraph(blob.directory, decodeGraph(config, blob, targets, maxContext));
    const session = await InferenceSession.create(path, {
      executionProviders: ['cpu'],
      graphOptimizationLevel: 'all',
      executionMode: 'sequential',
      intraOpNumThreads: threads || (blob.bytes < SMALL_MODEL_BYTES ? 1 : availableParallelism()),
      interOpNumThreads: 1,
      // Waiting threads sleep: cores are shared with the proxy, the trainer and the agents. Halves the CPU time of a step.
      extra: { session: { intra_op: { allow_spinning: '0' } } },
      logSeverityLevel: 4, // every error is thrown as well
    });
    return new Runner(session, options);
  }

  /**
   * Appends the tokens to the cache.
   * @param adapter the feeds of `adapterFeeds`
   * @returns logits after each row's last token, `[batch, vocab]`; overwritten by the next run
   */
  async run({ tokenIds, batch, pasts, cache, slot }: RunInput, adapter: Tensors): Promise<Float32Array> {
    const time = tokenIds.length / batch;
    const { feeds, fetches } = this.#tensorsOf(cache, slot, batch);
    const size = batch * this.config.vocabSize;
    if (this.#logits.length < size) this.#logits = new Float32Array(size);
    const logits = this.#logits.subarray(0, size);
    await runInPlace(this.#session.run({
      ...feeds,
      ...(this.#session.inputNames.includes(names.positions) ? { [names.positions]: positionsOf(pasts, time) } : {}),
      ...adapter,
      [names.tokenIds]: new Tensor('int64', BigInt64Array.from(tokenIds, BigInt), [batch, time]),
      [names.lastPosition]: new Tensor('int32', pasts.map((past) => past + time - 1), [batch]),
      [names.longest]: new Tensor('int32', Int32Array.of(pasts.reduce((longest, past) => Math.max(longest, past), 0) + time), []),
      [names.wanted]: new Tensor('int64', BigInt64Array.from({ length: batch }, (_, row) => BigInt((row + 1) * time - 1)), [batch]),
    }, { ...stopFetch, [names.logits]: new Tensor('float32', logits, [batch, this.config.vocabSize]), ...fetches }));
    return logits;
  }

  async release(): Promise<void> {
    await this.#session.release();
  }

  #tensorsOf(cache: KvCache, slot: number, batch: number): CacheTensors {
    const known = this.#cacheTensors.get(cache.buffers) ?? new Map<string, CacheTensors>();
    this.#cacheTensors.set(cache.buffers, known);
    const key = `${slot} ${batch}`;
    const found = known.get(key) ?? cacheTensors(cache, slot, batch);
    known.set(key, found);
    return found;
  }
}

function positionsOf(pasts: Int32Array, time: number): Tensor {
  const positions = BigInt64Array.from({ length: pasts.length * time }, (_, i) => BigInt((pasts[Math.floor(i / time)] ?? 0) + (i % time)));
  return new Tensor('int64', positions, [pasts.length, time]);
}

/** Past and present are the same tensors: the kernel appends in place. */
function cacheTensors(cache: KvCache, slot: number, batch: number): CacheTensors {
  const { kvHeads, headDim } = cache.shape;
  const tensors = cache.buffers.map((_, buffer) => new Tensor('float32', cache.view(buffer, slot, batch), [batch, kvHeads, cache.positions, headDim]));
  return {
    feeds: Object.fromEntries(tensors.map((tensor, buffer) => [names.past(buffer), tensor])),
    fetches: Object.fromEntries(tensors.map((tensor, buffer) => [names.present(buffer), tensor])),
  };
}

/** An adapter's matrices by module: `a` `[rank, in]`, `b` `[out, rank]` with alpha multiplied in. */
export type AdapterMatrices = ReadonlyMap<string, { readonly a: Float32Array; readonly b: Float32Array; readonly rank: number }>;

/** Feeds for a session with these targets; where the adapter has nothing, a rank of one zero. */
export function adapterFeeds(config: ModelConfig, targets: readonly string[], adapter: AdapterMatrices): Tensors {
  const feeds: Record<string, Tensor> = {};
  for (const [module, [out, inner]] of adaptedModules(config, targets)) {
    const { a, b, rank } = adapter.get(module) ?? { a: new Float32Array(inner), b: new Float32Array(out), rank: 1 };
    feeds[names.loraA(module)] = new Tensor('float32', a, [rank, inner]);
    feeds[names.loraB(module)] = new Tensor('float32', b, [out, rank]);
  }
  return feeds;
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
