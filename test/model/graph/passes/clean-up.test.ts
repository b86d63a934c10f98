import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { add, exp, Graph, mul, reduceSum, removeDeadNodes, reshapeAs, shareCommonSubexpressions, type Value } from '../../../../model/graph/index.ts';
import { compile } from '../run.ts';
import { goldenTrainingGraph, someFeeds } from './training-graph.ts';

const types = (graph: Graph): string[] => graph.nodes.map(({ type }) => type);
const matrix = (graph: Graph): Value => graph.input('x', 'float32', ['N', 2]);

describe('what is computed twice', () => {
  test('is computed once', () => {
    const graph = new Graph();
    const x = matrix(graph);
    graph.output('y', add(mul(exp(x), exp(x)), exp(exp(x))));
    assert.deepEqual(types(graph), ['Exp', 'Exp', 'Mul', 'Exp', 'Exp', 'Add']);
    assert.deepEqual(types(shareCommonSubexpressions(graph)), ['Exp', 'Mul', 'Exp', 'Add']);
  });

  test('may be two outputs', async () => {
    const graph = new Graph();
    const x = matrix(graph);
    graph.output('a', exp(x));
    graph.output('b', exp(x));
    const run = await compile(shareCommonSubexpressions(graph));
    const ones = Float32Array.of(1, 1);
    assert.deepEqual(await run({ x: { data: new Float32Array(2), shape: [1, 2] } }), { a: ones, b: ones });
  });

  test('is not joined with the same operation under other attributes', () => {
    const graph = new Graph();
    const x = matrix(graph);
    graph.output('all', reduceSum(x, [1], { keep: true }));
    graph.output('same', reduceSum(x, [1]));
    assert.equal(shareCommonSubexpressions(graph).nodes.length, 2);
  });
});

test('a shape is read off the first tensor that has it, so that later ones need not be kept for it', () => {
  const graph = new Graph();
  const x = matrix(graph);
  const late = exp(exp(x));
  graph.output('y', add(reshapeAs(late, x), reshapeAs(late, exp(late))));
  assert.deepEqual(types(removeDeadNodes(shareCommonSubexpressions(graph))), ['Exp', 'Exp', 'Shape', 'Reshape', 'Add']);
});

test('what no output needs goes, inputs and constants too', () => {
  const graph = new Graph();
  const x = matrix(graph);
  exp(mul(graph.input('unused', 'float32', ['N']), 3));
  graph.output('y', mul(x, 2));
  const clean = removeDeadNodes(graph);
  assert.deepEqual([types(clean), clean.inputs.map(({ name }) => name), clean.constants.length], [['Mul'], ['x'], 1]);
});

test('a whole training graph gives the same bytes with fewer nodes', async () => {
  const graph = goldenTrainingGraph('llama-tied');
  const clean = removeDeadNodes(graph);
  const shared = removeDeadNodes(shareCommonSubexpressions(graph));
  assert.ok(clean.nodes.length < graph.nodes.length && shared.nodes.length < clean.nodes.length, `${graph.nodes.length} nodes, ${clean.nodes.length} needed, ${shared.nodes.length} different`);
  const feeds = someFeeds(graph);
  const expected = await (await compile(graph))(feeds);
  assert.ok(Number.isFinite(expected['loss']?.[0]));
  assert.deepEqual(await (await compile(shared))(feeds), expected);
});
