/** Which weights are multiplied together. */
import { architectures } from '../model/architectures/index.ts';
import { lastPart, linearModules } from '../model/lora-targets.ts';
import type { ModelConfig } from '../model/model.ts';

/** Projections that multiply the same input: one product of them together costs less than one of each. */
const TOGETHER = [['q_proj', 'k_proj', 'v_proj'], ['gate_proj', 'up_proj']];
/** The kind of those that attention takes. */
export const ATTENDED = 'q_proj';

/** A matrix `[Σ out, in]`: those of some modules, one below the other. */
export interface JointMatrix {
  /** The input's name in a graph. */
  readonly name: string;
  /** The first of its projections (`q_proj`), or `head`: a block has one matrix of each kind. */
  readonly kind: string;
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
    matrices.set(`${module}.weight`, known ?? { name: `joint.${group[0]}`, kind: lastPart(group[0] ?? module), parts, inner });
  }
  const head = architectures[config.architecture].headWeight(config);
  return matrices.set(head, { name: 'joint.head', kind: 'head', parts: new Map([[head, config.vocabSize]]), inner: config.hiddenSize });
}

export const rowsOf = ({ parts }: JointMatrix): number => [...parts.values()].reduce((sum, out) => sum + out, 0);

/** Those with a part that an adapter on these projections (`q_proj`) changes. */
export const adaptedMatrices = (matrices: ReadonlyMap<string, JointMatrix>, targets: readonly string[]): ReadonlySet<JointMatrix> =>
  new Set([...matrices].flatMap(([weight, matrix]) => (targets.includes(lastPart(weight.replace(/\.weight$/, ''))) ? [matrix] : [])));
