/** The policy under training, as it is in memory: its parameters (through a learner), its optimizer, and which version they are. */
import { copyFileSync, existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TrainerConfig } from '../config/schema.ts';
import { type Adapter, adapterTensors, createAdapter, type LoraConfig, peftName, readAdapter, writeAdapter } from '../model/adapter.ts';
import type { Model, Tensor } from '../model/model.ts';
import { readSafetensors, writeSafetensors } from '../model/weights/safetensors.ts';
import type { Database } from '../store/open.ts';
import { requirePolicy } from '../store/policies.ts';
import { algorithmOf } from './algorithms/index.ts';
import { createEmbeddedLearner } from './backends/embedded.ts';
import { TrainerError } from './error.ts';
import type { Learner } from './learner.ts';
import { policyLoss } from './loss/policy-loss.ts';
import { AdamW } from './optimizer.ts';
import { verifyPolicy, weightsFile } from './publish.ts';
import { seededRandom } from './random.ts';
import { createValueHead, isOfValueHead, readValueHead, writeValueHead } from './value-head.ts';

/** A published version, or version 0: the base model. */
export interface PolicyVersion {
  readonly version: number;
  readonly kind: 'base' | 'adapter' | 'full';
  /** Absolute; null for the base model. */
  readonly directory: string | null;
}

/** @throws StoreError `unknown_policy` */
export function policyVersion(db: Database, version: number): PolicyVersion {
  if (version === 0) return { version, kind: 'base', directory: null };
  const { kind, directory } = requirePolicy(db, version);
  return directory === null ? { version, kind: 'base', directory } : { version, kind, directory: join(db.dataDir, directory) };
}

export interface TrainingPolicy {
  readonly kind: 'adapter' | 'full';
  readonly learner: Learner;
  readonly optimizer: AdamW;
  /** The version that parameters and optimizer are exactly, or null once they were changed. */
  readonly version: number | null;
  /**
   * Makes parameters and optimizer those of a version; nothing is read if they are. From the base model a fresh adapter is drawn by `seed`.
   * @throws TrainerError `unsuitable_base` if it was trained by another method or with another LoRA shape, `corrupt_policy` if its files are not those that were published
   */
  load(base: PolicyVersion, seed: number): void;
  /** Call before the first change. */
  changing(): void;
  /** Writes the policy's files and `optimizer.safetensors`. */
  write(directory: string): void;
  /** The parameters are now this version. */
  published(version: number): void;
  /** Runs `work` with the base model's parameters in the learner, then puts the own ones back. */
  withReference<T>(work: () => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** What training needs of a model: no text. */
export type TrainableModel = Pick<Model, 'config' | 'weights' | 'fingerprint' | 'path'>;

export interface TrainingPolicyOptions {
  readonly model: TrainableModel;
  readonly config: Pick<TrainerConfig, 'method' | 'lora' | 'optimizer' | 'device' | 'threads' | 'recompute' | 'maxMemoryMb' | 'algorithm' | 'correction' | 'credit'>;
  /** Where graphs and float32 weights are kept. */
  readonly cacheDir: string;
}

const optimizerFile = 'optimizer.safetensors';

/** @throws TrainerError `unsuitable_model`: full training of a model that is no Hugging Face directory */
export async function openTrainingPolicy(options: TrainingPolicyOptions): Promise<TrainingPolicy> {
  const format = options.config.method === 'lora' ? adapterFormat(options.model, options.config.lora) : fullFormat(options.model);
  const { loss } = algorithmOf(options.config);
  const head = loss.value && createValueHead(options.model.config.hiddenSize);
  const learner = await createEmbeddedLearner({
    model: options.model, trainable: format.trainable, loss: policyLoss(loss), ...(head ? { valueHead: head } : {}), device: options.config.device, threads: options.config.threads, cacheDir: options.cacheDir,
    memory: options.config,
  });
  const optimizer = new AdamW(learner.parameters, options.config.optimizer);
  let version: number | null = null;
  return {
    kind: format.kind,
    learner,
    optimizer,
    get version() {
      return version;
    },
    load(base, seed) {
      // Version 0 is drawn anew each time: its adapter depends on the seed.
      if (base.version === version && base.kind !== 'base') return;
      version = null;
      if (base.directory !== null) verifyPolicy(base.directory);
      assign(learner.parameters, base.directory === null ? format.initial(seed) : format.read(base, base.directory));
      const savedHead = base.directory === null ? null : readValueHead(base.directory);
      if (head) assign(learner.parameters, savedHead ?? createValueHead(options.model.config.hiddenSize));
      const saved = base.directory === null ? null : join(base.directory, optimizerFile);
      if (saved !== null && existsSync(saved)) optimizer.load(readOptimizer(saved), savedHead ? () => false : isOfValueHead);
      else optimizer.reset();
      version = base.version;
    },
    changing() {
      version = null;
    },
    write(directory) {
      format.write(directory, new Map([...learner.parameters].filter(([name]) => !isOfValueHead(name))));
      writeValueHead(directory, learner.parameters);
      const { step, moments } = optimizer.state();
      writeSafetensors(join(directory, optimizerFile), [['step', { shape: [1], data: Int32Array.of(step) }], ...moments]);
    },
    published(published) {
      version = published;
    },
    async withReference(work) {
      const own = new Map([...learner.parameters].map(([name, { shape, data }]) => [name, { shape, data: data.slice() }]));
      assign(learner.parameters, format.reference());
      try {
        return await work();
      } finally {
        assign(learner.parameters, own);
      }
    },
    close: () => learner.close(),
  };
}

/** What differs between an adapter and full parameters. */
interface PolicyFormat {
  readonly kind: 'adapter' | 'full';
  readonly trainable: Parameters<typeof createEmbeddedLearner>[0]['trainable'];
  initial(seed: number): ReadonlyMap<string, Tensor>;
  read(base: PolicyVersion, directory: string): ReadonlyMap<string, Tensor>;
  /** Parameters that make the policy the base model; the others may stay as they are. */
  reference(): ReadonlyMap<string, Tensor>;
  write(directory: string, parameters: ReadonlyMap<string, Tensor>): void;
}

function adapterFormat(model: TrainableModel, lora: LoraConfig): PolicyFormat {
  const fresh = (seed: number): Adapter => createAdapter(model.config, lora, seededRandom(seed));
  const adapter = fresh(0);
  return {
    kind: 'adapter',
    trainable: { kind: 'adapter', adapter },
    initial: (seed) => adapterTensors(fresh(seed)),
    read(base, directory) {
      if (base.kind !== 'adapter') throw new TrainerError('unsuitable_base', `Version ${base.version} is a full checkpoint and trainer.method is lora: set trainer.method to full, or go back to a version that is an adapter.`);
      const saved = readAdapter(directory, model.config);
      if (describe(saved.config) !== describe(adapter.config)) throw new TrainerError('unsuitable_base', `Version ${base.version} has ${describe(saved.config)}, but trainer.lora asks for ${describe(adapter.config)}: change trainer.lora back, or go back to version 0.`);
      return adapterTensors(saved);
    },
    // W + scale · B A is W when B is 0.
    reference: () => new Map([...adapter.modules].map(([module, { b }]) => [peftName(module, 'B'), { shape: b.shape, data: new Float32Array(b.data.length) }])),
    write: (directory) => { writeAdapter(directory, adapter, model.path); },
  };
}

function describe(lora: LoraConfig): string {
  return `${lora.rsLora ? 'rank-stabilized ' : ''}rank ${lora.rank}, alpha ${lora.alpha} on ${lora.targets.toSorted().join(', ')}`;
}

function fullFormat(model: TrainableModel): PolicyFormat {
  if (!statSync(model.path).isDirectory()) throw new TrainerError('unsuitable_model', `trainer.method full needs a Hugging Face directory, and ${model.path} is a file: use lora.`);
  const base = (): Map<string, Tensor> => new Map(model.weights.names().map((name) => [name, model.weights.read(name)]));
  return {
    kind: 'full',
    trainable: { kind: 'full', start: model.weights },
    initial: base,
    read(version, directory) {
      if (version.kind !== 'full') throw new TrainerError('unsuitable_base', `Version ${version.version} is an adapter and trainer.method is full: set trainer.method to lora, or go back to version 0.`);
      const file = readSafetensors(join(directory, weightsFile.full));
      try {
        return new Map(file.names().map((name) => [name, file.read(name)]));
      } finally {
        file.close();
      }
    },
    reference: base,
    write(directory, parameters) {
      // Configuration, tokenizer and chat template as they are; the weights are what changed.
      const unchanged = readdirSync(model.path, { withFileTypes: true }).map(({ name }) => name).filter((name) => /\.(json|jinja|txt|model)$/.test(name) && !name.endsWith('.index.json'));
      for (const name of unchanged) copyFileSync(join(model.path, name), join(directory, name));
      writeSafetensors(join(directory, weightsFile.full), parameters, { metadata: { format: 'pt' } });
      // vLLM loads every .safetensors file beside the configuration that no index rules out: also the optimizer's.
      const bytes = [...parameters.values()].reduce((sum, { data }) => sum + data.byteLength, 0);
      const index = { metadata: { total_size: bytes }, weight_map: Object.fromEntries([...parameters.keys()].map((name) => [name, weightsFile.full])) };
      writeFileSync(join(directory, `${weightsFile.full}.index.json`), `${JSON.stringify(index, null, 2)}\n`);
    },
  };
}

/** Copies values into the learner's own arrays, which its graphs are fed with. */
function assign(parameters: ReadonlyMap<string, Tensor>, values: ReadonlyMap<string, Tensor>): void {
  for (const [name, { data }] of values) {
    // A checkpoint may hold tensors that the model does not train (a tied head written twice).
    parameters.get(name)?.data.set(data);
  }
}

function readOptimizer(path: string): Parameters<AdamW['load']>[0] {
  const file = readSafetensors(path);
  try {
    return { step: file.readInts('step')[0] ?? 0, moments: new Map(file.names().filter((name) => name !== 'step').map((name) => [name, file.read(name)])) };
  } finally {
    file.close();
  }
}
