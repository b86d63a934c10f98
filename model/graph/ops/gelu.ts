/** GELU in its tanh form, ½x(1 + tanh(√(2/π)·(x + 0.044715x³))) (Hendrycks and Gimpel, arXiv 1606.08415). */
import { apply, node1, type Op } from '../op.ts';
import type { Value } from '../value.ts';
import { add, mul, sub } from './elementwise.ts';

const SLOPE = Math.sqrt(2 / Math.PI);
const CUBIC = 0.044715;

const geluTanhOp: Op<readonly [Value], readonly [Value]> = {
  name: 'Gelu',
  kept: 0,
  emit: ([x]) => [node1('Gelu', [x], x, { approximate: 'tanh' })],
  // With t = tanh(u): ½(1 + t) + ½x(1 − t²)·u′. Computed again from x: nothing this wide is kept.
  gradient: ({ inputs: [x], upstream: [g] }) => {
    const square = mul(x, x);
    const t = node1('Tanh', [mul(mul(x, SLOPE), add(1, mul(square, CUBIC)))], x);
    const du = add(SLOPE, mul(square, 3 * CUBIC * SLOPE));
    return [mul(g, mul(0.5, add(add(1, t), mul(mul(x, du), sub(1, mul(t, t))))))];
  },
};

export const geluTanh = (x: Value): Value => apply(geluTanhOp, [x], undefined)[0];
