/**
 * The weights of a decode step's products, in memory of the engine's own. Sessions take them as inputs: several share them, and nothing is
 * prepared when one is opened. Read from here a step is a fifth faster than from a mapped file.
 */
import { architectures } from '../model/architectures/index.ts';
import type { WeightBlob } from '../model/graph/weight-blob.ts';
import { lastPart, linearModules } from '../model/lora-targets.ts';
import type { ModelConfig } from '../model/model.ts';
import type { TensorView, TensorViews } from './session/session.ts';

/** Projections that multiply the same input: one product of them together costs less than one of each. */
const TOGETHER = [['q_proj', 'k_proj', 'v_proj'], ['gate_proj', 'up_proj']];

/** A matrix `[Σ out, in]`: those of some modules, one below the other. */
export interface JointMatrix {
  /** The input's name in a graph. */
  readonly name: string;
  /** Weights by their names, with their rows. */
  readonly parts: ReadonlyMap<string, number>;
  readonly inner: number;
}

/** Every linear layer and the head, by the names of their weights: the matrix that it is part of. */
export function jointMatrices(config: ModelConfig): ReadonlyMap<string, JointMatrix> {
  const modules = linearModules(config);
  const matrices = new Map<string, JointMatrix>();
  for (const [module, [, inner]] of modules) {
    const last = lastPart(module);
    const group = (TOGETHER.find((projections) => projections.includes(last)) ?? [last]).map((projection) => module.slice(0, module.length - last.length) + projection);
    const known = matrices.get(`${group[0]}.weight`);
    const parts = new Map(group.map((member) => [`${member}.weight`, modules.get(member)?.[0] ?? 0]));
    matrices.set(`${module}.weight`, known ?? { name: `joint.${group[0]}`, parts, inner });
  }
  const head = architectures[config.architecture].headWeight(config);
  return matrices.set(head, { name: 'joint.head', parts: new Map([[head, config.vocabSize]]), inner: config.hiddenSize });
}

/** Reads them all, once. */
export async function readResidentWeights(config: ModelConfig, blob: WeightBlob): Promise<TensorViews> {
  const views: Record<string, TensorView> = {};
  for (const { name, parts, inner } of new Set(jointMatrices(config).values())) {
    const rows = [...parts.values()].reduce((sum, out) => sum + out, 0);
    const data = new Float32Array(rows * inner);
    let row = 0;
    for (const [weight, out] of parts) {
      await blob.read(weight, data.subarray(row * inner, (row + out) * inner));
      row += out;
    }
    views[name] = { data, shape: [rows, inner] };
  }
  return views;
}
