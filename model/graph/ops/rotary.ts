/** Rotary position embedding (Su et al., arXiv 2104.09864), halves rotated against each other as in Llama (not interleaved). */
import { apply, node1, type Op } from '../op.ts';
import type { Value } from '../value.ts';
import { neg } from './elementwise.ts';

const rotaryOp: Op<readonly [Value, Value, Value], readonly [Value]> = {
  name: 'RotaryEmbedding',
  emit: ([x, cos, sin]) => [node1('RotaryEmbedding', [x, x.graph.integers(0), cos, sin], x, { interleaved: 0 }, 'com.microsoft')],
  // A rotation's transpose is the rotation by the opposite angle.
  gradient: ({ inputs: [, cos, sin], upstream: [g] }) => [apply(rotaryOp, [g, cos, neg(sin)], undefined)[0], null, null],
};

/** x `[batch, heads, time, headDim]` rotated by its position 0, 1, …; cos and sin `[positions, headDim/2]` (`model/rope.ts`). */
export const rotary = (x: Value, cos: Value, sin: Value): Value => apply(rotaryOp, [x, cos, sin], undefined)[0];
