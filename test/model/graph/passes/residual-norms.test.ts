import assert from 'node:assert/strict';
import { test } from 'node:test';
import { add, exp, Graph, joinResidualNorms, removeDeadNodes, rmsNorm } from '../../../../model/graph/index.ts';
import { assertClose } from '../../golden.ts';
import { compile } from '../run.ts';

test('a sum and its norm are one node, with the same numbers', async () => {
  const graph = new Graph();
  const x = graph.input('x', 'float32', ['N', 8]);
  const weight = graph.input('weight', 'float32', [8]);
  const sum = add(x, exp(x));
  graph.output('next', add(sum, rmsNorm(sum, weight, 1e-5)));
  const joined = removeDeadNodes(joinResidualNorms(graph));
  assert.deepEqual(joined.nodes.map(({ type }) => type), ['Exp', 'SkipSimplifiedLayerNormalization', 'Add']);
  const feeds = { x: { data: Float32Array.from({ length: 24 }, (_, i) => Math.sin(i)), shape: [3, 8] }, weight: { data: Float32Array.from({ length: 8 }, (_, i) => 1 + i / 8), shape: [8] } };
  const [expected, result] = await Promise.all([graph, joined].map(async (one) => (await (await compile(one))(feeds))['next'] ?? assert.fail()));
  assertClose(result ?? [], expected ?? [], 1e-6, 'next');
});

test('a weight that is computed stays where it is', () => {
  const graph = new Graph();
  const x = graph.input('x', 'float32', ['N', 8]);
  const sum = add(x, exp(x));
  graph.output('y', rmsNorm(sum, add(graph.input('weight', 'float32', [8]), 1), 1e-5));
  assert.deepEqual(removeDeadNodes(joinResidualNorms(graph)).nodes.map(({ type }) => type), ['Exp', 'Add', 'Add', 'SimplifiedLayerNormalization']);
});
