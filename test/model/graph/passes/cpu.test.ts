import assert from 'node:assert/strict';
import { test } from 'node:test';
import { add, exp, gemm, Graph, lowerForCpu, removeDeadNodes } from '../../../../model/graph/index.ts';
import { assertClose, maxAbs } from '../../golden.ts';
import { compile } from '../run.ts';
import { goldenTrainingGraph, someFeeds } from './training-graph.ts';

test('what is added to a product becomes its third input, unless the product is needed by itself', () => {
  const types = (isNeeded: boolean): string[] => {
    const graph = new Graph();
    const x = graph.input('x', 'float32', ['N', 2]);
    const product = gemm(x, graph.input('w', 'float32', [2, 2]));
    graph.output('y', add(exp(x), product));
    if (isNeeded) graph.output('product', product);
    return removeDeadNodes(lowerForCpu(graph)).nodes.map(({ type, inputs }) => `${type} ${inputs.length}`);
  };
  assert.deepEqual(types(false), ['Exp 1', 'Gemm 3']);
  assert.deepEqual(types(true), ['Gemm 2', 'Exp 1', 'Add 2']);
});

for (const model of ['llama-tied', 'gemma3-text']) {
  test(`the training graph of ${model}, lowered, gives the same numbers`, async () => {
    const graph = goldenTrainingGraph(model);
    const lowered = removeDeadNodes(lowerForCpu(graph));
    assert.ok(lowered.nodes.length < removeDeadNodes(graph).nodes.length);
    const feeds = someFeeds(graph);
    const expected = await (await compile(graph))(feeds);
    const result = await (await compile(lowered))(feeds);
    const largest = Math.max(...Object.entries(expected).filter(([name]) => name.startsWith('gradient.')).map(([, data]) => maxAbs(data)));
    for (const [name, data] of Object.entries(expected)) assertClose(result[name] ?? [], data, 1e-5 * (name.startsWith('gradient.') ? largest : Math.max(1, maxAbs(data))), name);
  });
}
