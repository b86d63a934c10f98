/** Softmax attention (Vaswani et al., arXiv 1706.03762), with several query heads on one key head (GQA, arXiv 2305.13245). */
import { apply, node1, type Op } from '../op.ts';
import { dimOf, GraphError, type Value, type ValueType } from '../value.ts';
import { mul, sub } from './elementwise.ts';
import { reshape, reshapeAs } from './layout.ts';
import { matmul } from './matmul.ts';
import { reduceSum } from './reduce.ts';

interface AttentionAttributes {
  readonly scale: number;
}

/** Outputs: o = p v, and p = softmax(scale · q kᵀ + mask), kept for the gradient. */
const attentionOp: Op<readonly [Value, Value, Value, Value], readonly [Value, Value], AttentionAttributes> = {
  name: 'Attention',
  kept: 1,
  emit: ([query, key, value, mask], { scale }) => {
    const heads = dimOf(query, 1);
    const keyHeads = dimOf(key, 1);
    if (typeof heads !== 'number' || typeof keyHeads !== 'number' || heads % keyHeads !== 0) throw new GraphError(`${heads} query heads on ${keyHeads} key heads`);
    // The query heads of one key head lie one after the other, so that grouping them is a reshape and no key is repeated.
    const scores = matmul(reshape(query, [0, keyHeads, -1, Number(dimOf(query, 3))]), key, { transB: true, alpha: scale });
    const byHead: ValueType = { dtype: 'float32', shape: [dimOf(query, 0), heads, dimOf(query, 2), dimOf(key, 2)] };
    const masked = node1('Add', [node1('Reshape', [scores, scores.graph.integers(0, heads, -1, 0)], byHead), mask], byHead);
    const p = reshapeAs(node1('Softmax', [masked], byHead, { axis: -1 }), scores);
    return [reshapeAs(matmul(p, value), query), p];
  },
  // As in FlashAttention (arXiv 2205.14135, appendix B.4): Σⱼ pᵢⱼ dpᵢⱼ = doᵢ·oᵢ, a sum over headDim instead of time.
  gradient: ({ inputs: [query, key, value], outputs: [o, p], attributes: { scale }, upstream: [g] }) => {
    if (!g) return [null, null, null, null];
    const rows = [0, Number(dimOf(key, 1)), -1, Number(dimOf(query, 3))];
    const dout = reshape(g, rows);
    const dscores = mul(p, sub(matmul(dout, value, { transB: true }), reduceSum(mul(dout, reshape(o, rows)), [-1], { keep: true })));
    const dquery = matmul(dscores, key, { alpha: scale });
    const dkey = matmul(dscores, reshape(query, rows), { transA: true, alpha: scale });
    return [reshapeAs(dquery, query), dkey, matmul(p, dout, { transA: true }), null];
  },
};

/**
 * query `[batch, heads, time, headDim]`, key and value `[batch, keyHeads, time, headDim]`, mask `[time, time]` added to the scores
 * (0 or very negative) → `[batch, heads, time, headDim]`. The mask has no gradient.
 */
export const attention = (query: Value, key: Value, value: Value, mask: Value, attributes: AttentionAttributes): Value => apply(attentionOp, [query, key, value, mask], attributes)[0];
