/** LoRA adapters (Hu et al., arXiv 2106.09685; rsLoRA, arXiv 2312.03732) in the file format of PEFT. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ModelError } from './error.ts';
import { targetModules, targetNames } from './lora-targets.ts';
import type { ModelConfig, Tensor } from './model.ts';
import { parsePeftConfig, peftConfig } from './peft-config.ts';
import { readSafetensors, writeSafetensors } from './weights/safetensors.ts';

export interface LoraConfig {
  readonly rank: number;
  readonly alpha: number;
  /** Scale by alpha/√rank instead of alpha/rank. */
  readonly rsLora: boolean;
  /** Last parts of module names (`q_proj`), or whole names. Of an adapter: the shortest list that means its modules. */
  readonly targets: readonly string[];
}

/** One module's factors: its weight becomes W + scale · b a. */
export interface LoraModule {
  /** `[rank, in]`. */
  readonly a: Tensor;
  /** `[out, rank]`. */
  readonly b: Tensor;
}

export interface Adapter {
  readonly config: LoraConfig;
  /** By module name: `model.layers.0.self_attn.q_proj`. */
  readonly modules: ReadonlyMap<string, LoraModule>;
}

const CONFIG_FILE = 'adapter_config.json';
const TENSOR_FILE = 'adapter_model.safetensors';

export const loraScale = ({ rank, alpha, rsLora }: LoraConfig): number => (rsLora ? alpha / Math.sqrt(rank) : alpha / rank);

/** A module's two tensors under PEFT's names: `base_model.model.<module>.lora_A.weight` and `…lora_B.weight`. */
export const peftName = (module: string, part: 'A' | 'B'): string => `base_model.model.${module}.lora_${part}.weight`;

/** Every tensor of an adapter by its PEFT name, in the order of its modules: A, then B. The tensors are the adapter's own, not copies. */
export function adapterTensors(adapter: Adapter): ReadonlyMap<string, Tensor> {
  return new Map([...adapter.modules].flatMap(([module, { a, b }]) => [[peftName(module, 'A'), a], [peftName(module, 'B'), b]] as const));
}

/**
 * A fresh adapter that changes nothing: b is 0, a is uniform in ±√(1/in) (PEFT's `reset_lora_parameters`: kaiming_uniform with a=√5).
 * @param random uniform in [0, 1); modules are filled in the model's order, so a seed gives the same adapter
 * @throws ModelError `invalid_config` for a target that the model doesn't have
 */
export function createAdapter(model: ModelConfig, config: LoraConfig, random: () => number): Adapter {
  const modules = new Map<string, LoraModule>();
  const found = targetModules(model, { targets: config.targets });
  for (const [module, [outputs, inputs]] of found) {
    const bound = Math.sqrt(1 / inputs);
    modules.set(module, {
      a: { shape: [config.rank, inputs], data: Float32Array.from({ length: config.rank * inputs }, () => (2 * random() - 1) * bound) },
      b: { shape: [outputs, config.rank], data: new Float32Array(outputs * config.rank) },
    });
  }
  return { config: { ...config, targets: targetNames(model, found.keys()) }, modules };
}

/** Writes `adapter_config.json` and `adapter_model.safetensors` into a directory (made if needed), as PEFT, vLLM and SGLang read them. */
export function writeAdapter(directory: string, adapter: Adapter, baseModel: string): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, CONFIG_FILE), `${JSON.stringify(peftConfig(adapter.config, baseModel), null, 2)}\n`);
  writeSafetensors(join(directory, TENSOR_FILE), adapterTensors(adapter), { metadata: { format: 'pt' } });
}

/**
 * Reads an adapter directory and checks it against the model.
 * @throws ModelError `not_found`, `corrupt`; `invalid_config` for tensors or targets that don't fit the model; `unsupported` for a PEFT feature that isn't computed here
 */
export function readAdapter(directory: string, model: ModelConfig): Adapter {
  const path = join(directory, CONFIG_FILE);
  const settings = parsePeftConfig(parseJson(path));
  if (typeof settings === 'string') throw new ModelError('unsupported', `${path} is not a LoRA adapter that this project can compute: ${settings}`);
  const { rules, ...config } = settings;
  using file = disposable(readSafetensors(join(directory, TENSOR_FILE)));
  const found = targetModules(model, rules);
  const unread = new Set(file.names());
  const modules = new Map<string, LoraModule>();
  for (const [module, [outputs, inputs]] of found) {
    const tensor = (part: 'A' | 'B', shape: readonly [number, number]): Tensor => {
      const name = peftName(module, part);
      if (!unread.delete(name)) throw new ModelError('invalid_config', `${directory} targets ${module} but has no tensor "${name}".`);
      const read = file.read(name);
      if (read.shape.join() !== shape.join()) throw new ModelError('invalid_config', `"${name}" in ${directory} has shape [${read.shape.join(', ')}]; this model needs [${shape.join(', ')}].`);
      return read;
    };
    modules.set(module, { a: tensor('A', [config.rank, inputs]), b: tensor('B', [outputs, config.rank]) });
  }
  const [extra] = unread;
  if (extra !== undefined) throw new ModelError('invalid_config', `${directory} has ${unread.size} tensors that belong to none of its target modules in this model, "${extra}" first.`);
  return { config: { ...config, targets: targetNames(model, found.keys()) }, modules };
}

function parseJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) throw new ModelError('corrupt', `${path} is not JSON: ${error.message}`, { cause: error });
    throw new ModelError('not_found', `${path} can't be read.`, { cause: error });
  }
}

const disposable = <T extends { close(): void }>(resource: T): T & Disposable => Object.assign(resource, { [Symbol.dispose]: () => resource.close() });

/** The module's weight with its adapter folded in: W + scale · b a, computed in float64. */
export function mergeLora(weight: Tensor, { a, b }: LoraModule, scale: number): Tensor {
  const [outputs = 0, inputs = 0] = weight.shape;
  const [rank = 0] = a.shape;
  const merged = new Float32Array(weight.data.length);
  for (let row = 0; row < outputs; row++) {
    for (let column = 0; column < inputs; column++) {
      let sum = 0;
      for (let r = 0; r < rank; r++) sum += (b.data[row * rank + r] ?? 0) * (a.data[r * inputs + column] ?? 0);
      merged[row * inputs + column] = (weight.data[row * inputs + column] ?? 0) + scale * sum;
    }
  }
  return { shape: weight.shape, data: merged };
}
