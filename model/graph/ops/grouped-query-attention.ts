/** Attention over a key/value cache, for decoding. One fused kernel that can also rotate q and k; it has no gradient. */
import { apply, type Op } from '../op.ts';
import { GraphError, type Value } from '../value.ts';

export interface CachedAttentionInputs {
  /**
   * `[batch, time, (heads + 2·keyHeads)·headDim]`, q, k and v of each token side by side, before rotation; or q alone
   * (`[batch, time, heads·headDim]`) with `key` and `value` (`[batch, time, keyHeads·headDim]`) given.
   */
  readonly query: Value;
  readonly key?: Value;
  readonly value?: Value;
  /** `[batch, keyHeads, capacity, headDim]`. */
  readonly pastKey: Value;
  readonly pastValue: Value;
  /** int32 `[batch]`: each row's tokens after this step, minus one. */
  readonly lastPosition: Value;
  /** int32 `[]`: the longest row's tokens after this step. */
  readonly longest: Value;
  /**
   * `[positions, headDim/2]` each (`model/rope.ts`): the kernel rotates q and k by their positions. Only where headDim is a multiple
   * of 16; null: they come rotated.
   */
  readonly rotation: { readonly cos: Value; readonly sin: Value } | null;
  readonly heads: number;
  readonly keyHeads: number;
  readonly headDim: number;
}

type Outputs = readonly [output: Value, presentKey: Value, presentValue: Value];

const groupedQueryAttentionOp: Op<readonly [Value, ...Value[]], Outputs, CachedAttentionInputs> = {
  name: 'GroupQueryAttention',
  emit: (_, { query, key, value, pastKey, pastValue, lastPosition, longest, rotation, heads, keyHeads, headDim }) => {
    const [output, presentKey, presentValue] = query.graph.node(
      'GroupQueryAttention',
      [query, key ?? null, value ?? null, pastKey, pastValue, lastPosition, longest, ...(rotation ? [rotation.cos, rotation.sin] : [])],
      [{ dtype: 'float32', shape: [...query.shape.slice(0, 2), heads * headDim] }, pastKey, pastValue],
      { num_heads: heads, kv_num_heads: keyHeads, do_rotary: Number(rotation !== null), rotary_interleaved: 0 },
      'com.microsoft',
    );
    if (!output || !presentKey || !presentValue) throw new GraphError('GroupQueryAttention has three outputs');
    return [output, presentKey, presentValue];
  },
  gradient: null,
};

/**
 * ONNX Runtime's GroupQueryAttention. Present key and value have the past's shape and may share its buffer (the kernel then works
 * in place). https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.GroupQueryAttention
 */
export function groupedQueryAttention(inputs: CachedAttentionInputs): { readonly output: Value; readonly presentKey: Value; readonly presentValue: Value } {
  const { query, key, value, pastKey, pastValue } = inputs;
  const [output, presentKey, presentValue] = apply(groupedQueryAttentionOp, [query, ...(key ? [key] : []), ...(value ? [value] : []), pastKey, pastValue], inputs);
  return { output, presentKey, presentValue };
}
