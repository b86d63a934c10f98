import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gradients, Graph } from '../../../model/graph/index.ts';
import { supervisedLoss } from '../../../trainer/loss/supervised.ts';
import { compile } from '../../model/graph/run.ts';

await test('cross-entropy is the weighted negative log-prob, and padding does not leak', async () => {
  const graph = new Graph();
  const logprob = graph.input('logprob', 'float32', [4]);
  const { loss } = supervisedLoss({ graph, logprob, entropy: logprob, perToken: (name) => graph.input(name, 'float32', [4]), sequenceSum: () => assert.fail() });
  const [gradient] = gradients(loss, [logprob]);
  graph.output('loss', loss);
  graph.output('gradient', gradient ?? assert.fail());
  const run = await compile(graph);
  const result = await run({ logprob: { shape: [4], data: Float32Array.of(-1, -2, NaN, -Infinity) }, weight: { shape: [4], data: Float32Array.of(0.25, 0.75, 0, 0) } });
  assert.deepEqual([...(result['loss'] ?? [])], [1.75]);
  assert.deepEqual([...(result['gradient'] ?? [])].map((g) => g + 0), [-0.25, -0.75, 0, 0]);
});
