/**
 * The weights of a decode step's products, in memory of the engine's own. Sessions take them as inputs: several share them, and nothing is
 * prepared when one is opened. Read from here a step is a fifth faster than from a mapped file.
 */
import { architectures } from '../model/architectures/index.ts';
import type { WeightBlob } from '../model/graph/weight-blob.ts';
import type { ModelConfig } from '../model/model.ts';
import { rowsOf, type JointMatrix } from './joint-matrices.ts';
import type { TensorView, TensorViews } from './session/session.ts';

/** Reads them all, once. */
export async function readResidentWeights(matrices: readonly JointMatrix[], blob: WeightBlob): Promise<TensorViews> {
  const views: Record<string, TensorView> = {};
  for (const matrix of matrices) {
    const { name, parts, inner } = matrix;
    const rows = rowsOf(matrix);
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

/** The same memory by the weights' own names: what sessions that read prompts prepare in an order of their own, once for all of them. */
export function separateWeights(matrices: readonly JointMatrix[], resident: TensorViews): TensorViews {
  const views: Record<string, TensorView> = {};
  for (const { name, parts, inner } of matrices) {
    const joint = resident[name]?.data;
    let row = 0;
    for (const [weight, out] of parts) {
      if (joint) views[weight] = { data: joint.subarray(row * inner, (row + out) * inner), shape: [out, inner] };
      row += out;
    }
  }
  return views;
}

/** Of these, what sessions that decode have as a weight too: the embedding where it is the head as well. They would map it from its file otherwise. */
export function sharedEmbedding(config: ModelConfig, separate: TensorViews): TensorViews {
  const name = architectures[config.architecture].headWeight(config);
  const view = separate[name];
  return config.tieWordEmbeddings && view ? { [name]: view } : {};
}
