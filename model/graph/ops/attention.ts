/**
 * Softmax attention (Vaswani et al., arXiv 1706.03762), with several query heads on one key head (GQA, arXiv 2305.13245), for masks under which no
 * position sees a later one. As in FlashAttention (arXiv 2205.14135) queries are taken in blocks, each against the keys up to its own end, and the gradient computes
 * the probabilities again.
 */
import { apply, node1, type Op } from '../op.ts';
import { dimOf, GraphError, type Value, type ValueType } from '../value.ts';
import { mul, sub } from './elementwise.ts';
import { reshape, reshapeAs } from './layout.ts';
import { matmul } from './matmul.ts';
import { notBefore } from './not-before.ts';
import { joinParts, padPart, partOf, partsOf } from './part.ts';
import { reduceSum, shapeValue } from './reduce.ts';

interface AttentionAttributes {
  readonly scale: number;
}

type Inputs = readonly [query: Value, key: Value, value: Value, mask: Value];

/** Of n blocks ½(1 + 1/n) of the products are left. More than two were hardly faster, and each makes the graph slower to prepare. */
const BLOCKS = partsOf(2);

/** One block of queries with the keys that it may see. */
interface Block {
  /** `[batch, keyHeads, heads/keyHeads·queries, headDim]`: the query heads of one key head lie one after the other, so that no key is repeated. */
  readonly query: Value;
  /** `[batch, keyHeads, keys, headDim]`. */
  readonly key: Value;
  readonly value: Value;
  /** softmax(scale · q kᵀ + mask), `[batch, keyHeads, heads/keyHeads·queries, keys]`. */
  readonly p: Value;
}

function blockOf([query, key, value, mask]: Inputs, scale: number, part: (typeof BLOCKS)[number]): Block {
  const seen = { ...part, from: 0 };
  const rows = partOf(query, 2, part);
  const q = byKeyHead(rows, key);
  const k = partOf(key, 2, seen);
  const scores = matmul(q, k, { transB: true, alpha: scale });
  const byHead: ValueType = { dtype: 'float32', shape: [...rows.shape.slice(0, 3), dimOf(k, 2)] };
  const masked = node1('Add', [node1('Reshape', [scores, shapeByHead(rows)], byHead), partOf(partOf(mask, -2, part), -1, seen)], byHead);
  return { query: q, key: k, value: partOf(value, 2, seen), p: reshapeAs(node1('Softmax', [masked], byHead, { axis: -1 }), scores) };
}

/** Of the scores of `rows`, by query head again: 0 keeps a dimension. Without -1, which says nothing where a block is empty. */
function shapeByHead(rows: Value): Value {
  const { graph } = rows;
  const queries = node1('Slice', [shapeValue(rows), graph.integers(2), graph.integers(3)], { dtype: 'int64', shape: [1] });
  return node1('Concat', [graph.integers(0, Number(dimOf(rows, 1))), queries, graph.integers(0)], { dtype: 'int64', shape: [4] }, { axis: 0 });
}

/** `[batch, heads, queries, headDim]` → `[batch, keyHeads, heads/keyHeads·queries, headDim]`. */
const byKeyHead = (x: Value, key: Value): Value => reshape(x, [0, Number(dimOf(key, 1)), -1, Number(dimOf(x, 3))]);

const attentionOp: Op<Inputs, readonly [Value], AttentionAttributes> = {
  name: 'Attention',
  emit: (inputs, { scale }) => {
    const [query, key] = inputs;
    const heads = dimOf(query, 1);
    const keyHeads = dimOf(key, 1);
    if (typeof heads !== 'number' || typeof keyHeads !== 'number' || heads % keyHeads !== 0) throw new GraphError(`${heads} query heads on ${keyHeads} key heads`);
    return [joinParts(BLOCKS.map((part) => {
      const { p, value } = blockOf(inputs, scale, part);
      return reshapeAs(matmul(p, value), partOf(query, 2, part));
    }), 2, query)];
  },
  // FlashAttention's appendix B.4: Σⱼ pᵢⱼ dpᵢⱼ = doᵢ·oᵢ, a sum over headDim instead of time.
  gradient: ({ inputs: [query, key, value, mask], outputs: [o], attributes: { scale }, upstream: [g] }) => {
    const sums = reduceSum(mul(g, o), [-1], { keep: true });
    let before: readonly Value[] = [g];
    const parts = BLOCKS.map((part) => {
      const block = blockOf([notBefore(query, ...before), key, value, mask], scale, part);
      const dout = byKeyHead(partOf(g, 2, part), key);
      const dscores = mul(block.p, sub(matmul(dout, block.value, { transB: true }), byKeyHead(partOf(sums, 2, part), key)));
      const gradients = [
        reshapeAs(matmul(dscores, block.key, { alpha: scale }), partOf(query, 2, part)),
        padPart(matmul(dscores, block.query, { transA: true, alpha: scale }), 2, part, key),
        padPart(matmul(block.p, dout, { transA: true }), 2, part, value),
      ] as const;
      before = gradients;
      return gradients;
    });
    return [joinParts(parts.map(([dquery]) => dquery), 2, query), total(parts.map(([, dkey]) => dkey)), total(parts.map(([, , dvalue]) => dvalue)), null];
  },
};

const total = (parts: readonly Value[]): Value => parts.reduce((sum, part) => node1('Sum', [sum, part], sum));

/**
 * query `[batch, heads, time, headDim]`, key and value `[batch, keyHeads, time, headDim]`, mask `[time, time]` or `[batch, 1, time, time]` added to the
 * scores (0 or very negative, and that at every later position) → `[batch, heads, time, headDim]`. The mask has no gradient.
 */
export const attention = (query: Value, key: Value, value: Value, mask: Value, attributes: AttentionAttributes): Value => apply(attentionOp, [query, key, value, mask], attributes)[0];
