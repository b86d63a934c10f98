/** Logits to probabilities, for decoding: losses are made of `LogSoftmax` (token-distribution.ts). */
import { apply, node1, type Op } from '../op.ts';
import type { Value } from '../value.ts';

const softmaxOp: Op<readonly [Value], readonly [Value]> = {
  name: 'Softmax',
  emit: ([x]) => [node1('Softmax', [x], x, { axis: -1 })],
  gradient: null,
};

/** Over the last axis. */
export const softmax = (x: Value): Value => apply(softmaxOp, [x], undefined)[0];
