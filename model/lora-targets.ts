/** Which linear layers an adapter changes, in the words of PEFT (`tuners_utils.check_target_module_exists`). */
import { architectureOf } from './architectures/index.ts';
import { ModelError } from './error.ts';
import type { ModelConfig } from './model.ts';

/** Names with the shapes `[out, in]` of their weights, in the model's order. */
export type LinearModules = ReadonlyMap<string, readonly [out: number, inner: number]>;

export interface TargetRules {
  /** Names of modules or last parts of them (`q_proj`, `self_attn.q_proj`); or one regular expression for whole names; or `all-linear`. */
  readonly targets: readonly string[] | string;
  /** Names or last parts, or one regular expression: these stay as they are. */
  readonly except?: readonly string[] | string;
  /** Layers by index, where targets are last parts. Default: all. */
  readonly layers?: readonly number[];
}

const ALL_LINEAR = 'all-linear';

export const lastPart = (module: string): string => module.slice(module.lastIndexOf('.') + 1);

/** Every module of the model that can have an adapter. */
export function linearModules(model: ModelConfig): LinearModules {
  const architecture = architectureOf(model);
  const found = new Map<string, readonly [number, number]>();
  for (const [name, [out = 0, inner = 0]] of architecture.tensors(model)) {
    const module = name.replace(/\.weight$/, '');
    if (module !== name && architecture.adapterTargets.includes(lastPart(module))) found.set(module, [out, inner]);
  }
  return found;
}

/** @throws ModelError `invalid_config` for a target that the model doesn't have, or a pattern that can't be read */
export function targetModules(model: ModelConfig, { targets, except = [], layers }: TargetRules): LinearModules {
  const all = linearModules(model);
  if (typeof targets !== 'string') for (const target of targets) refuseUnknown(target, all, model);
  const isTarget = typeof targets !== 'string' ? named(targets) : targets.toLowerCase() === ALL_LINEAR ? () => true : matching(targets);
  const isExcepted = typeof except === 'string' ? matching(except) : named(except);
  const isWhole = (module: string): boolean => typeof targets !== 'string' && targets.includes(module);
  const inLayers = (module: string): boolean => layers === undefined || layers.length === 0 || isWhole(module) || layers.includes(layerOf(module));
  const found = new Map([...all].filter(([module]) => isTarget(module) && inLayers(module) && !isExcepted(module)));
  if (found.size === 0) throw new ModelError('invalid_config', `The LoRA targets ${JSON.stringify(targets)} match no linear layer of the model.`);
  return found;
}

/** The shortest list of targets that means these modules: last parts where every layer is in, else whole names. */
export function targetNames(model: ModelConfig, modules: Iterable<string>): string[] {
  const chosen = [...modules];
  const parts = [...new Set(chosen.map(lastPart))];
  const meant = [...linearModules(model).keys()].filter((module) => parts.includes(lastPart(module)));
  return (meant.length === chosen.length ? parts : chosen).toSorted();
}

function refuseUnknown(target: string, all: LinearModules, model: ModelConfig): void {
  if ([...all.keys()].some(named([target]))) return;
  throw new ModelError('invalid_config', `LoRA target "${target}" is not a linear layer of ${model.architecture}; choose from ${architectureOf(model).adapterTargets.join(', ')}.`);
}

const named = (names: readonly string[]) => (module: string): boolean => names.some((name) => module === name || module.endsWith(`.${name}`));

function matching(pattern: string): (module: string) => boolean {
  try {
    // Strict (`u`), so that what only Python's syntax knows is an error and not another meaning.
    const expression = new RegExp(`^(?:${pattern})$`, 'u');
    return (module) => expression.test(module);
  } catch (error) {
    throw new ModelError('invalid_config', `The LoRA target pattern ${JSON.stringify(pattern)} can't be read: ${error instanceof Error ? error.message : String(error)}.`, { cause: error });
  }
}

const layerOf = (module: string): number => Number(/\.(\d+)\./.exec(module)?.[1]);
