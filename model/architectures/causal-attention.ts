/** Attention for training: whole sequences at once, made of differentiable operations. */
import { attention } from '../graph/ops/attention.ts';
import { causalMask } from '../graph/ops/causal-mask.ts';
import { concat, reshape, reshapeTo, shapeOf, transpose } from '../graph/ops/layout.ts';
import { rotary } from '../graph/ops/rotary.ts';
import type { Value } from '../graph/value.ts';
import type { ModelConfig } from '../model.ts';
import type { Forward } from './architecture.ts';

export interface Sequences {
  /** `[batch, time]`, right-padded: a token never sees padding, which comes after it. */
  readonly tokenIds: Value;
  /** `[time, headDim/2]`, from `ropeTables`. */
  readonly cos: Value;
  readonly sin: Value;
}

/** The `attention` of a `Forward` over whole sequences. */
export function causalAttention(config: ModelConfig, { tokenIds, cos, sin }: Sequences): Forward['attention'] {
  const { heads, kvHeads, headDim } = config;
  const { graph } = tokenIds;
  const mask = causalMask(tokenIds);
  // [N, count·headDim] → [batch, count, time, headDim]
  const byHead = (x: Value, count: number): Value =>
    transpose(reshapeTo(x, concat([shapeOf(tokenIds), graph.integers(count, headDim)], 0), [...tokenIds.shape, count, headDim]), [0, 2, 1, 3]);
  return ({ query, key, value }) => {
    const q = rotary(byHead(query, heads), cos, sin);
    const k = rotary(byHead(key, kvHeads), cos, sin);
    const mixed = attention(q, k, byHead(value, kvHeads), mask, { scale: headDim ** -0.5 });
    return reshape(transpose(mixed, [0, 2, 1, 3]), [-1, heads * headDim]);
  };
}
