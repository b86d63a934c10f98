/**
 * The weights of a decode step's products, in memory of the engine's own. Sessions take them as inputs: several share them, and nothing is
 * prepared when one is opened. Read from here a step is a fifth faster than from a mapped file.
 */
import { architectures } from '../model/architectures/index.ts';
import type { WeightBlob } from '../model/graph/weight-blob.ts';
import type { ModelConfig } from '../model/model.ts';
import { ATTENDED, rowsOf, type JointMatrix } from './joint-matrices.ts';
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

/**
 * The same memory for sessions that read prompts, which prepare it in an order of their own, once for all of them: queries, keys and values as the one matrix that they lie in, as the attention
 * kernel takes them from one product; others by the weights' own names, as what they give goes separate ways.
 */
export function promptWeights(matrices: readonly JointMatrix[], resident: TensorViews): TensorViews {
  const views: Record<string, TensorView> = {};
  for (const matrix of matrices) {
    const view = resident[matrix.name];
    if (!view) continue;
    if (matrix.kind === ATTENDED) {
      views[matrix.name] = view;
      continue;
    }
    let row = 0;
    for (const [weight, out] of matrix.parts) {
      views[weight] = { data: view.data.subarray(row * matrix.inner, (row + out) * matrix.inner), shape: [out, matrix.inner] };
      row += out;
    }
  }
  return views;
}

/** Of these, what sessions that decode have as a weight too: the embedding where it is the head as well. They would map it from its file otherwise. */
export function sharedEmbedding(config: ModelConfig, prompts: TensorViews): TensorViews {
  const name = architectures[config.architecture].headWeight(config);
  const view = prompts[name];
  return config.tieWordEmbeddings && view ? { [name]: view } : {};
}
