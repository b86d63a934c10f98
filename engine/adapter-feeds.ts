/** An adapter as the inputs of a step: for each joint matrix one pair of factors. */
import type { ModelConfig } from '../model/model.ts';
import { names } from './decode-graph.ts';
import { adaptedMatrices, jointMatrices, rowsOf, type JointMatrix } from './joint-matrices.ts';
import type { TensorView } from './session/session.ts';

/** By module: `a` `[rank, in]`, `b` `[out, rank]` with alpha multiplied in. */
export type AdapterMatrices = ReadonlyMap<string, AdapterFactors>;

export interface AdapterFactors {
  readonly a: Float32Array;
  readonly b: Float32Array;
  readonly rank: number;
}

/** Feeds for a session with these targets; where the adapter has nothing, a rank of one zero. */
export function adapterFeeds(config: ModelConfig, targets: readonly string[], adapter: AdapterMatrices): Record<string, TensorView> {
  const feeds: Record<string, TensorView> = {};
  for (const matrix of adaptedMatrices(jointMatrices(config), targets)) {
    const { a, b, rank } = jointFactors(matrix, adapter);
    feeds[names.loraA(matrix)] = { data: a, shape: [rank, matrix.inner] };
    feeds[names.loraB(matrix)] = { data: b, shape: [rowsOf(matrix), rank] };
  }
  return feeds;
}

/** The parts' A one below the other; their B as blocks of a matrix that is zero elsewhere, so that each reads its own ranks. */
function jointFactors(matrix: JointMatrix, adapter: AdapterMatrices): AdapterFactors {
  const { parts, inner } = matrix;
  const adapted = [...parts].map(([weight, out]) => ({ out, factors: adapter.get(weight.replace(/\.weight$/, '')) }));
  const rank = Math.max(adapted.reduce((sum, { factors }) => sum + (factors?.rank ?? 0), 0), 1);
  const a = new Float32Array(rank * inner);
  const b = new Float32Array(rowsOf(matrix) * rank);
  let row = 0;
  let column = 0;
  for (const { out, factors } of adapted) {
    if (factors) {
      a.set(factors.a, column * inner);
      for (let i = 0; i < out; i++) b.set(factors.b.subarray(i * factors.rank, (i + 1) * factors.rank), (row + i) * rank + column);
      column += factors.rank;
    }
    row += out;
  }
  return { a, b, rank };
}
