import assert from 'node:assert/strict';
import { readFileSync, rmSync, mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import * as ort from 'onnxruntime-node';
import { add, encodeModel, exp, gemm, Graph, gradients, mul, neg, reduceSum } from '../../../../model/graph/index.ts';
import { eagerOutputs, runOrder } from '../../../../model/graph/onnx/run-order.ts';
import { lowerOrder } from '../../../../model/graph/passes/order.ts';

/** Three layers of a product and a residual, with gradients: enough to have several orders. */
function network(): Graph {
  const graph = new Graph();
  let x = graph.input('x', 'float32', ['N', 4]);
  const weights = [0, 1, 2].map((layer) => graph.input(`w${layer}`, 'float32', [4, 4]));
  for (const weight of weights) x = add(x, exp(neg(mul(gemm(x, weight), 0.5))));
  gradients(reduceSum(mul(x, x)), weights).forEach((gradient, layer) => graph.output(`g${layer}`, gradient));
  return graph;
}

test('the runtime runs nodes in the order that we think it does', async () => {
  const graph = lowerOrder(network());
  const nodes = eagerOutputs(graph.nodes);
  const expected = runOrder(nodes).map((node) => `${node.type}_${nodes.indexOf(node)}`);
  const directory = mkdtempSync(join(tmpdir(), 'order-'));
  try {
    const session = await ort.InferenceSession.create(encodeModel(graph), { graphOptimizationLevel: 'disabled', enableProfiling: true, profileFilePrefix: join(directory, 'profile'), intraOpNumThreads: 1, logSeverityLevel: 3 });
    const square = (): ort.Tensor => new ort.Tensor('float32', Float32Array.from({ length: 16 }, (_, i) => i / 16), [4, 4]);
    await session.run({ x: square(), w0: square(), w1: square(), w2: square() });
    session.endProfiling();
    const [profile = ''] = readdirSync(directory);
    const events: { cat: string; name: string }[] = JSON.parse(readFileSync(join(directory, profile), 'utf8'));
    assert.deepEqual(events.flatMap(({ cat, name }) => (cat === 'Node' && name.endsWith('_kernel_time') ? [name.replace('_kernel_time', '')] : [])), expected);
    await session.release();
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('the gradient of the last layer is there before that of the first is begun', () => {
  const graph = lowerOrder(network());
  const order = runOrder(eagerOutputs(graph.nodes));
  const at = (name: string): number => order.findIndex((node) => node.outputs.some((output) => output === graph.outputs.get(name)));
  assert.ok(at('g0') === order.length - 1);
  assert.ok(at('g2') < at('g1') && at('g1') < at('g0'));
});
