/** Root-mean-square normalization (Zhang and Sennrich, arXiv 1910.07467). */
import { apply, node1, type Op } from '../op.ts';
import { GraphError, type Value } from '../value.ts';
import { mul, sub } from './elementwise.ts';
import { sumTo } from './reduce.ts';

/** y = x · r · weight with r = 1/√(mean(x²) + ε), which comes along as `[…, 1]` for the gradient. */
const rmsNormOp: Op<readonly [Value, Value], readonly [Value, Value], { epsilon: number }> = {
  name: 'SimplifiedLayerNormalization',
  kept: 0,
  emit: ([x, weight], { epsilon }) => {
    const [y, r] = x.graph.node('SimplifiedLayerNormalization', [x, weight], [x, { dtype: 'float32', shape: [...x.shape.slice(0, -1), 1] }], { axis: -1, epsilon: { float: epsilon }, stash_type: 1 });
    if (!y || !r) throw new GraphError('SimplifiedLayerNormalization has two outputs');
    return [y, r];
  },
  // dx = r·(g·w − x·r·mean(g·y)·r): with n = x·r, dn = g·w, dx = r·(dn − n·mean(dn·n)).
  gradient: ({ inputs: [x, weight], outputs: [y, r], upstream: [g] }) => {
    if (!g) return [null, null];
    const meanGy = node1('ReduceMean', [mul(g, y), x.graph.integers(-1)], r, { keepdims: 1 });
    const dx = sub(mul(mul(g, weight), r), mul(x, mul(mul(r, r), meanGy)));
    return [dx, sumTo(mul(g, mul(x, r)), weight.shape)];
  },
};

/** x `[…, width]`, weight `[width]`. */
export const rmsNorm = (x: Value, weight: Value, epsilon: number): Value => apply(rmsNormOp, [x, weight], { epsilon })[0];
