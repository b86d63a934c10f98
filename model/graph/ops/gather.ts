/** Picking rows by index. */
import { apply, node1, type Op } from '../op.ts';
import { formatShape, GraphError, type Value } from '../value.ts';
import { expandAs, zerosLike } from './reduce.ts';

const gatherOp: Op<readonly [Value, Value], readonly [Value]> = {
  name: 'Gather',
  emit: ([table, rows]) => [node1('Gather', [table, rows], { dtype: table.dtype, shape: [...rows.shape, ...table.shape.slice(1)] }, { axis: 0 })],
  // A row picked twice gets both gradients. ScatterElements adds one after the other in index order, so the sum is the same
  // bytes every time; ScatterND adds from several threads at once.
  gradient: ({ inputs: [table, rows], upstream: [g] }) => {
    if (rows.shape.length !== 1 || table.shape.length !== 2) throw new GraphError(`Gather has a gradient for a matrix and a vector of rows, not ${formatShape(table.shape)} and ${formatShape(rows.shape)}`);
    const column = node1('Unsqueeze', [rows, rows.graph.integers(1)], { dtype: rows.dtype, shape: [...rows.shape, 1] });
    return [node1('ScatterElements', [zerosLike(table), expandAs(column, g), g], table, { axis: 0, reduction: 'add' }), null];
  },
};

/** Rows of a table: table `[R, …]`, rows (integers) `[…]` → `[…rows, …]`. */
export const gather = (table: Value, rows: Value): Value => apply(gatherOp, [table, rows], undefined)[0];
