import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { add, cast, concat, detach, encodeModel, exp, gather, gemm, Graph, GraphError, gradients, groupedQueryAttention, greater, mul, reduceSum, removeDeadNodes, reshape, type Value } from '../../../model/graph/index.ts';
import { compile } from './run.ts';

const vector = (graph: Graph, name = 'x'): Value => graph.input(name, 'float32', ['N']);

describe('a graph', () => {
  test('emits only what its outputs need', async () => {
    const graph = new Graph();
    const x = vector(graph);
    const unused = vector(graph, 'unused');
    exp(unused);
    graph.output('y', mul(x, 2));
    assert.deepEqual(removeDeadNodes(graph).inputs.map(({ name }) => name), ['x']);
    const run = await compile(graph);
    assert.deepEqual(await run({ x: { data: Float32Array.of(1, 2), shape: [2] } }), { y: Float32Array.of(2, 4) });
  });

  test('gives an input, a constant, or one value twice as outputs', async () => {
    const graph = new Graph();
    const x = vector(graph);
    const y = mul(x, 2);
    graph.output('first', y);
    graph.output('second', y);
    graph.output('same', x);
    graph.output('three', graph.scalar(3));
    const run = await compile(graph);
    const four = Float32Array.of(4);
    assert.deepEqual(await run({ x: { data: Float32Array.of(2), shape: [1] } }), { first: four, second: four, same: Float32Array.of(2), three: Float32Array.of(3) });
  });

  test('is the same bytes when built again', () => {
    const build = (): Uint8Array => {
      const graph = new Graph();
      const x = vector(graph);
      graph.output('g', gradients(reduceSum(exp(mul(x, x))), [x])[0] ?? assert.fail());
      return encodeModel(graph);
    };
    assert.deepEqual(build(), build());
  });

  test('names no value twice', () => {
    const graph = new Graph();
    const x = vector(graph);
    assert.throws(() => vector(graph), new GraphError('two values named x'));
    graph.output('y', exp(x));
    assert.throws(() => graph.output('y', x), GraphError);
  });

  test('refuses values of two graphs in one operation', () => {
    assert.throws(() => add(vector(new Graph()), vector(new Graph())), /mixes values of two graphs/);
  });
});

describe('shapes are checked when the graph is built', () => {
  const graph = new Graph();
  const matrix = graph.input('matrix', 'float32', [2, 3]);
  const rows = graph.input('rows', 'float32', ['B', 'T', 4]);
  const wrong: readonly [string, () => Value, RegExp][] = [
    ['addition', () => add(matrix, graph.constant(new Float32Array(2), [2])), /\[2, 3\] and \[2\] do not broadcast/],
    ['a product', () => gemm(matrix, matrix), /Gemm of \[2, 3\] and \[2, 3\]/],
    ['a reshape', () => reshape(matrix, [4, -1]), /\[2, 3\] does not reshape to \[4, -1\]/],
    ['a reshape that drops elements', () => reshape(matrix, [2, 2]), /does not reshape/],
    ['an axis', () => reduceSum(matrix, [2]), /axis 2/],
    ['a concatenation along an unknown dimension', () => concat([rows, rows], 0), /B, which is not a number/],
    ['a constant', () => graph.constant(new Float32Array(3), [2]), /with 3 elements/],
  ];
  for (const [what, build, message] of wrong) test(what, () => assert.throws(build, (error) => error instanceof GraphError && message.test(error.message)));

  test('unknown dimensions are followed by name', () => {
    assert.deepEqual(reshape(rows, [-1, 2]).shape, ['2*B*T', 2]);
    assert.deepEqual(reshape(rows, [0, -1, 2]).shape, ['B', '2*T', 2]);
    assert.deepEqual(reshape(reshape(rows, [-1, 4]), [-1, 2, 2]).shape, ['B*T', 2, 2]);
  });
});

describe('the reverse pass', () => {
  test('adds up what reaches a value on several ways', async () => {
    const graph = new Graph();
    const x = vector(graph);
    const [gradient] = gradients(reduceSum(add(mul(x, x), add(x, mul(x, 3)))), [x]);
    graph.output('g', gradient ?? assert.fail());
    assert.deepEqual((await (await compile(graph))({ x: { data: Float32Array.of(0, 1, -2), shape: [3] } })).g, Float32Array.of(4, 6, 0));
  });

  test('says what is wrong with a loss', () => {
    const graph = new Graph();
    const x = vector(graph);
    const other = vector(graph, 'other');
    assert.throws(() => gradients(exp(x), [x]), /the loss has shape \[N\]/);
    assert.throws(() => gradients(reduceSum(x), [other]), /does not depend on other/);
    assert.throws(() => gradients(reduceSum(detach(x)), [x]), /does not depend on x/);
    assert.throws(() => gradients(reduceSum(cast(greater(x, 0), 'float32')), [x]), /does not depend on x/);
  });

  test('passes by integer inputs and frozen tables', () => {
    const graph = new Graph();
    const x = vector(graph);
    const picked = gather(graph.constant(new Float32Array(6), [3, 2]), graph.input('ids', 'int32', [3]));
    assert.equal(gradients(mul(reduceSum(picked), reduceSum(x)), [x]).length, 1);
  });

  test('ends at an operation without a gradient', () => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', [1, 1, 16]);
    const past = graph.input('past', 'float32', [1, 1, 8, 16]);
    const { output } = groupedQueryAttention({ qkv: [x, x, x], pastKey: past, pastValue: past, lastPosition: graph.input('last', 'int32', [1]), longest: graph.input('longest', 'int32', []), rotation: null, heads: 1, keyHeads: 1, headDim: 16, scale: 0.25 });
    assert.throws(() => gradients(reduceSum(output), [x]), /GroupQueryAttention has no gradient/);
  });
});
