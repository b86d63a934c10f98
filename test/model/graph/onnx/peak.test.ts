import assert from 'node:assert/strict';
import { test } from 'node:test';
import { add, exp, gemm, Graph, gradients, mul, reduceSum, reshape, rmsNorm, silu, type Value } from '../../../../model/graph/index.ts';
import { peakBytes } from '../../../../model/graph/onnx/peak.ts';
import { partOf } from '../../../../model/graph/ops/part.ts';

test('a tensor counts from the node that makes it to the last that reads it, a view not at all', () => {
  const graph = new Graph();
  const x = graph.input('x', 'float32', ['N', 8]);
  const a = exp(x);
  const b = exp(reshape(a, [-1]));
  graph.output('y', reduceSum(exp(b)));
  // a and b, or b and exp(b): two at a time.
  assert.equal(peakBytes(graph)({ N: 10 }), 2 * 10 * 8 * 4);
});

test('parts have the sizes that the runtime gives them', () => {
  const graph = new Graph();
  const x = graph.input('x', 'float32', ['N', 2]);
  graph.output('y', partOf(x, 0, { from: 1, to: 2, of: 4 }));
  assert.ok(peakBytes(graph)({ N: 11 }) - 3 * 2 * 4 < 100, 'the numbers that say where the part lies take a few bytes');
  assert.throws(() => peakBytes(graph)({}), /size of N is not given/);
});

test('computing the forward pass again takes the memory of two layers instead of all', () => {
  const peak = (recompute: boolean): number => {
    const graph = new Graph();
    let x: Value = graph.input('x', 'float32', ['N', 64]);
    const weights = Array.from({ length: 12 }, (_, layer) => graph.input(`w${layer}`, 'float32', [64, 64]));
    const norm = graph.input('norm', 'float32', [64]);
    for (const weight of weights) x = add(x, gemm(silu(gemm(silu(gemm(rmsNorm(x, norm, 1e-5), weight)), weight)), weight));
    gradients(reduceSum(mul(x, x)), weights, { recompute }).forEach((gradient, i) => graph.output(`g${i}`, gradient));
    return peakBytes(graph)({ N: 1000 });
  };
  assert.ok(peak(true) < 0.6 * peak(false), `${peak(true)} against ${peak(false)}`);
});
