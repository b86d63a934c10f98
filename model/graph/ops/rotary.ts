/** Rotary position embedding (Su et al., arXiv 2104.09864), halves rotated against each other as in Llama (not interleaved). */
import { apply, node1, type Op } from '../op.ts';
import type { Value } from '../value.ts';
import { neg } from './elementwise.ts';

const rotaryOp: Op<readonly [x: Value, positions: Value, cos: Value, sin: Value], readonly [Value]> = {
  name: 'RotaryEmbedding',
  emit: ([x, positions, cos, sin]) => [node1('RotaryEmbedding', [x, positions, cos, sin], x, { interleaved: 0 }, 'com.microsoft')],
  // A rotation's transpose is the rotation by the opposite angle.
  gradient: ({ inputs: [, positions, cos, sin], upstream: [g] }) => [apply(rotaryOp, [g, positions, cos, neg(sin)], undefined)[0], null, null, null],
};

/**
 * Rotates each head by its token's position: 0, 1, … unless `positions` (int64 `[batch, time]`) says otherwise.
 * @param x `[batch, heads, time, headDim]` or `[batch, time, heads·headDim]`
 * @param cos `[positions, headDim/2]`, as `sin`: `ropeTables` of `model/rope.ts`
 */
export const rotary = (x: Value, cos: Value, sin: Value, positions: Value = x.graph.integers(0)): Value => apply(rotaryOp, [x, positions, cos, sin], undefined)[0];
