/** Sums over the segments of a vector, given by a number per element. */
import { apply, node1, type Op } from '../op.ts';
import { zerosLike } from './reduce.ts';
import type { Value } from '../value.ts';

const segmentTotalOp: Op<readonly [Value, Value], readonly [Value]> = {
  name: 'SegmentTotal',
  // ScatterElements adds one after the other in index order: the same bytes every time.
  emit: ([x, segments]) => {
    const totals = node1('ScatterElements', [zerosLike(x), segments, x], x, { axis: 0, reduction: 'add' });
    return [node1('Gather', [totals, segments], x, { axis: 0 })];
  },
  // yᵢ = Σ_j [sᵢ = s_j]·x_j is symmetric in i and j, so the operation is its own transpose.
  gradient: ({ inputs: [, segments], upstream: [g] }) => [segmentTotal(g, segments), null],
};

/** For each element of x `[N]` the sum over all elements of its segment; segments (int32) `[N]`, in [0, N). → `[N]` */
export const segmentTotal = (x: Value, segments: Value): Value => apply(segmentTotalOp, [x, segments], undefined)[0];
