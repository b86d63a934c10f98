/** Policies that can be run: the base model, adapters over it, full checkpoints. */
import { rm } from 'node:fs/promises';
import { loraScale, readAdapter, type Adapter } from '../model/adapter.ts';
import { openWeightBlob } from '../model/graph/weight-blob.ts';
import { lastPart } from '../model/lora-targets.ts';
import { openWeights, type ModelNumbers } from '../model/open.ts';
import type { AdapterMatrices, AdapterPlace } from './adapter-bank.ts';
import type { GraphWeights } from './decode-graph.ts';
import { EngineError, type EngineOptions, type PolicyFiles } from './engine.ts';
import { jointMatrices } from './joint-matrices.ts';
import { openQuantizedWeights } from './quantized-weights.ts';
import { promptWeights, readResidentWeights, sharedEmbedding } from './resident-weights.ts';
import { Runner } from './runner.ts';
import { openRuntime, type Runtime } from './session/session.ts';

/** One version, ready to run. */
export interface Policy {
  readonly version: number;
  /** Policies of one runner decode together. */
  readonly runner: Runner;
  /** Null: the runner's weights as they are. */
  readonly adapter: AdapterPlace | null;
  /** Gives its memory back. Called once, while it isn't running. */
  release(): void;
}

export type PolicyOptions = Pick<EngineOptions, 'cacheDir' | 'maxContext' | 'threads' | 'adapterTargets' | 'weights'>;

/**
 * Opens policies over one base model. Sessions over the base weights are shared: one takes any adapter whose targets it has as
 * inputs, so that to swap adapters is to feed others.
 */
export class PolicyLoader {
  readonly #options: PolicyOptions;
  readonly #base: ModelNumbers;
  readonly #weights: GraphWeights;
  readonly #runtime: Runtime;
  readonly #runners: Runner[] = [];

  private constructor(options: PolicyOptions, base: ModelNumbers, weights: GraphWeights, runtime: Runtime) {
    this.#options = options;
    this.#base = base;
    this.#weights = weights;
    this.#runtime = runtime;
  }

  /** @param runtime another than the best there is, for tests */
  static async open(model: string, options: PolicyOptions, runtime?: Runtime): Promise<PolicyLoader> {
    const base = await openWeights(model);
    const best = runtime ?? await openRuntime();
    return new PolicyLoader(options, base, await openGraphWeights(base, base.fingerprint, options, best.kind === 'c-api'), best);
  }

  get config(): ModelNumbers['config'] {
    return this.#base.config;
  }

  /** Version 0. */
  async base(): Promise<Policy> {
    const runner = await this.#runnerFor(this.#options.adapterTargets ?? []);
    return { version: 0, runner, adapter: null, release: () => {} };
  }

  /**
   * A published version. Reading an adapter takes milliseconds; a full checkpoint, or the first adapter with targets that weren't
   * foreseen, opens a session, which blocks the engine for as long as its weights take to prepare.
   * @throws ModelError for files that can't be used; EngineError for a checkpoint of another shape than the base model, or an adapter with numbers that are not finite; RangeError
   */
  async load({ version, kind, directory }: PolicyFiles): Promise<Policy> {
    if (kind === 'full') return this.#loadFull(version, directory);
    const adapter = readAdapter(directory, this.config);
    const matrices = matricesOf(adapter);
    // Beside others in a step, zero times such a number would be no zero.
    if (![...matrices.values()].every(({ a, b }) => isFiniteAll(a) && isFiniteAll(b))) throw new EngineError('engine_failed', `Policy version ${version} in ${directory} has numbers that are not finite.`);
    const runner = await this.#runnerFor(projectionsOf(adapter));
    const place = runner.addAdapter(matrices);
    return { version, runner, adapter: place, release: () => { runner.removeAdapter(place); } };
  }

  async #loadFull(version: number, directory: string): Promise<Policy> {
    const { maxContext, threads } = this.#options;
    const { config, weights, fingerprint } = await openWeights(directory);
    try {
      if (!hasSameShape(config, this.config)) throw new EngineError('engine_failed', `Policy version ${version} in ${directory} is not of the base model's shape.`);
      const opened = await openGraphWeights({ config, weights }, `policy-${version}-${fingerprint}`, this.#options, false);
      const runner = await Runner.open({ runtime: this.#runtime, config, weights: opened, targets: [], maxContext, threads, isLasting: false });
      // The session holds its weights, mapped or copied: nothing of them has to stay in the cache for the next version to pile up on.
      await rm(opened.blob.directory, { recursive: true });
      return { version, runner, adapter: null, release: () => { void runner.release(); } };
    } finally {
      weights.close();
    }
  }

  /** A session over the base weights that has these targets as inputs. */
  async #runnerFor(targets: readonly string[]): Promise<Runner> {
    const found = this.#runners.find((runner) => targets.every((target) => runner.targets.includes(target)));
    if (found) return found;
    const { maxContext, threads } = this.#options;
    const runner = await Runner.open({ runtime: this.#runtime, config: this.config, weights: this.#weights, targets: targets.toSorted(), maxContext, threads, isLasting: true });
    this.#runners.push(runner);
    return runner;
  }
}

/** @param areShared sessions that read prompts share what the runtime prepares of the weights; it stays as long as the runtime, so not for a version's own */
async function openGraphWeights({ config, weights }: Pick<ModelNumbers, 'config' | 'weights'>, name: string, options: PolicyOptions, areShared: boolean): Promise<GraphWeights> {
  const blob = await openWeightBlob(options.cacheDir, name, weights);
  const matrices = [...new Set(jointMatrices(config).values())];
  if (options.weights === 'int8') return { blob, quantized: await openQuantizedWeights(blob.directory, weights, matrices), resident: {}, prompts: {}, embedding: {} };
  const resident = await readResidentWeights(matrices, blob);
  if (!areShared) return { blob, quantized: null, resident, prompts: {}, embedding: {} };
  const prompts = promptWeights(matrices, resident);
  return { blob, quantized: null, resident, prompts, embedding: sharedEmbedding(config, prompts) };
}

/** The last parts of the names of what an adapter changes. Modules that it leaves alone are fed zeros. */
const projectionsOf = (adapter: Adapter): string[] => [...new Set(Array.from(adapter.modules.keys(), lastPart))];

function matricesOf({ config, modules }: Adapter): AdapterMatrices {
  const scale = loraScale(config);
  return new Map(Array.from(modules, ([module, { a, b }]) => [module, { a: a.data, b: b.data.map((value) => value * scale), rank: config.rank }]));
}

const isFiniteAll = (numbers: Float32Array): boolean => numbers.every((number) => Number.isFinite(number));

/** The same keys and values, and the same vocabulary: rows can cross over. */
function hasSameShape(a: ModelNumbers['config'], b: ModelNumbers['config']): boolean {
  return a.layers === b.layers && a.kvHeads === b.kvHeads && a.headDim === b.headDim && a.vocabSize === b.vocabSize;
}
