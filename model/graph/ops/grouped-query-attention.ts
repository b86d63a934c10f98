/** Attention over a key/value cache, for decoding. One fused kernel that can also rotate q and k; it has no gradient. */
import { apply, node1, type Op } from '../op.ts';
import { GraphError, type Value } from '../value.ts';
import { reshape } from './layout.ts';

export interface CachedAttentionInputs {
  /** Query `[batch, time, heads·headDim]`, key and value `[batch, time, keyHeads·headDim]`; or all three side by side in one, where `canJoin`. */
  readonly qkv: readonly [query: Value, key: Value, value: Value] | readonly [joint: Value];
  /** `[batch, keyHeads, capacity, cachedHeadDim(headDim)]`. */
  readonly pastKey: Value;
  readonly pastValue: Value;
  /** int32 `[batch]`: each row's tokens after this step, minus one. */
  readonly lastPosition: Value;
  /** int32 `[]`: the longest row's tokens after this step. */
  readonly longest: Value;
  /**
   * `[positions, headDim/2]` each (`model/rope.ts`): the kernel rotates q and k by their positions. Only where `canRotate`; null:
   * they come rotated.
   */
  readonly rotation: { readonly cos: Value; readonly sin: Value } | null;
  readonly heads: number;
  readonly keyHeads: number;
  readonly headDim: number;
  /** What the scores are multiplied by. */
  readonly scale: number;
  /** How many keys a query sees, the one at its own position included. Default: all before it. */
  readonly window?: number;
  /**
   * The kernel takes keys tile by tile, in memory that does not grow with them. Otherwise it keeps `batch · heads · time · capacity` scores at once, and multiplies by its fastest routines: a third less
   * time for one query a row where `scale` is 1, a tenth for many. Default: true.
   */
  readonly tiled?: boolean;
}

/** The kernel takes heads whose size is a multiple of 8; others are filled up with zeros, which change no product. */
export const cachedHeadDim = (headDim: number): number => Math.ceil(headDim / 8) * 8;

/** Whether the kernel can rotate heads of this size. */
export const canRotate = (headDim: number): boolean => headDim % 16 === 0;

/** Whether heads of this size may come side by side: the kernel takes them as they are. */
export const canJoin = (headDim: number): boolean => cachedHeadDim(headDim) === headDim;

/** Of a key that nobody attends to: e to its power is 0 beside any score. */
const NO_SCORE = -3.4e38;

type Outputs = readonly [output: Value, presentKey: Value, presentValue: Value];

const groupedQueryAttentionOp: Op<readonly [pastKey: Value, pastValue: Value, ...qkv: CachedAttentionInputs['qkv']], Outputs, CachedAttentionInputs> = {
  name: 'GroupQueryAttention',
  emit: ([pastKey, pastValue, query, key, value], { lastPosition, longest, rotation, heads, keyHeads, headDim, scale, window, tiled = true }) => {
    const filled = cachedHeadDim(headDim);
    // A sink is one more key of each head, without a value; the kernel has no tiles for it. This one takes no part.
    const sink = tiled ? [] : [null, null, query.graph.constant(new Float32Array(heads).fill(NO_SCORE), [heads])];
    const [output, presentKey, presentValue] = query.graph.node(
      'GroupQueryAttention',
      [...(key && value ? [fill(query, heads, headDim), fill(key, keyHeads, headDim), fill(value, keyHeads, headDim)] : [query, null, null]), pastKey, pastValue, lastPosition, longest, rotation?.cos ?? null, rotation?.sin ?? null, ...sink],
      [{ dtype: 'float32', shape: [...query.shape.slice(0, 2), heads * filled] }, pastKey, pastValue],
      { num_heads: heads, kv_num_heads: keyHeads, do_rotary: Number(rotation !== null), rotary_interleaved: 0, scale: { float: scale }, local_window_size: window ?? -1 },
      'com.microsoft',
    );
    if (!output || !presentKey || !presentValue) throw new GraphError('GroupQueryAttention has three outputs');
    return [cut(output, heads, headDim), presentKey, presentValue];
  },
  gradient: null,
};

/** Heads `[batch, time, heads·headDim]` with zeros up to the size that the kernel takes. */
function fill(x: Value, heads: number, headDim: number): Value {
  const size = cachedHeadDim(headDim);
  if (size === headDim) return x;
  const apart = reshape(x, [0, 0, heads, headDim]);
  const padded = node1('Pad', [apart, x.graph.integers(0, 0, 0, 0, 0, 0, 0, size - headDim)], { dtype: x.dtype, shape: [...apart.shape.slice(0, 3), size] });
  return reshape(padded, [0, 0, heads * size]);
}

/** Undoes `fill`. */
function cut(x: Value, heads: number, headDim: number): Value {
  const size = cachedHeadDim(headDim);
  if (size === headDim) return x;
  const apart = reshape(x, [0, 0, heads, size]);
  const { graph } = x;
  const sliced = node1('Slice', [apart, graph.integers(0), graph.integers(headDim), graph.integers(3)], { dtype: x.dtype, shape: [...apart.shape.slice(0, 3), headDim] });
  return reshape(sliced, [0, 0, heads * headDim]);
}

/**
 * ONNX Runtime's GroupQueryAttention. Present key and value have the past's shape and may share its buffer (the kernel then works
 * in place). https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.GroupQueryAttention
 */
export function groupedQueryAttention(inputs: CachedAttentionInputs): { readonly output: Value; readonly presentKey: Value; readonly presentValue: Value } {
  const [output, presentKey, presentValue] = apply(groupedQueryAttentionOp, [inputs.pastKey, inputs.pastValue, ...inputs.qkv], inputs);
  return { output, presentKey, presentValue };
}
