/** Attention for training: whole sequences at once, made of differentiable operations. */
import { attention } from '../graph/ops/attention.ts';
import { type Branches, causalMask } from '../graph/ops/causal-mask.ts';
import { cast } from '../graph/ops/choose.ts';
import { concat, reshape, reshapeTo, shapeOf, transpose } from '../graph/ops/layout.ts';
import { rotary } from '../graph/ops/rotary.ts';
import type { Value } from '../graph/value.ts';
import type { ModelConfig } from '../model.ts';
import type { RopeTable } from '../rope.ts';
import type { Forward } from './architecture.ts';

export interface Sequences {
  /** `[batch, time]`, right-padded: a token never sees padding, which comes after it. */
  readonly tokenIds: Value;
  /** cos and sin `[time, headDim/2]` of each of the model's rotations (`ropesOf`), from `ropeTables`. */
  readonly rope: (table: RopeTable) => { readonly cos: Value; readonly sin: Value };
  /** Default: each row is one sequence. */
  readonly branches?: Branches;
}

/** The `attention` of a `Forward` over whole sequences. */
export function causalAttention(config: ModelConfig, { tokenIds, rope, branches }: Sequences): Forward['attention'] {
  const { heads, kvHeads, headDim, attentionScale: scale } = config;
  const { graph } = tokenIds;
  const places = branches && cast(branches.places, 'int64');
  const masks = new Map<number | undefined, Value>();
  const maskOf = (window: number | undefined): Value => {
    const mask = masks.get(window) ?? causalMask(tokenIds, { window, branches });
    masks.set(window, mask);
    return mask;
  };
  // [N, count·headDim] → [batch, count, time, headDim]
  const byHead = (x: Value, count: number): Value =>
    transpose(reshapeTo(x, concat([shapeOf(tokenIds), graph.integers(count, headDim)], 0), [...tokenIds.shape, count, headDim]), [0, 2, 1, 3]);
  return ({ query, key, value, window, rope: table = 'full' }) => {
    const { cos, sin } = rope(table);
    const q = rotary(byHead(query, heads), cos, sin, places);
    const k = rotary(byHead(key, kvHeads), cos, sin, places);
    const mixed = attention(q, k, byHead(value, kvHeads), maskOf(window), { scale });
    return reshape(transpose(mixed, [0, 2, 1, 3]), [-1, heads * headDim]);
  };
}
