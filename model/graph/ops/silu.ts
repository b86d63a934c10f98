/** SiLU, x·σ(x) (arXiv 1702.03118). ONNX Runtime's QuickGelu is x·σ(αx), one pass over memory. */
import { apply, node1, type Op } from '../op.ts';
import type { Value } from '../value.ts';
import { add, mul, sub } from './elementwise.ts';

const siluOp: Op<readonly [Value], readonly [Value]> = {
  name: 'QuickGelu',
  kept: 0,
  emit: ([x]) => [node1('QuickGelu', [x], x, { alpha: { float: 1 } }, 'com.microsoft')],
  // σ is computed again rather than kept: it is as wide as the widest activation. d = σ + y·(1 − σ)
  gradient: ({ inputs: [x], outputs: [y], upstream: [g] }) => {
    const s = node1('Sigmoid', [x], x);
    return [mul(g, add(s, mul(y, sub(1, s))))];
  },
};

export const silu = (x: Value): Value => apply(siluOp, [x], undefined)[0];
