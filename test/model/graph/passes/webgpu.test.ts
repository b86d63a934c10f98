// What the lowered graph computes on a WebGPU device: test/trainer/backends/webgpu.test.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lowerForWebGpu, removeDeadNodes } from '../../../../model/graph/index.ts';
import { assertClose, maxAbs } from '../../golden.ts';
import { compile } from '../run.ts';
import { goldenTrainingGraph, someFeeds } from './training-graph.ts';

for (const model of ['llama-tied', 'gemma3-text']) {
  test(`the training graph of ${model}, lowered, gives the same numbers without what WebGPU lacks`, async () => {
    const graph = goldenTrainingGraph(model);
    const lowered = removeDeadNodes(lowerForWebGpu(graph));
    for (const lacking of ['FusedMatMul', 'LogSoftmax', 'Sum', 'ConstantOfShape']) assert.ok(!lowered.nodes.some(({ type }) => type === lacking), lacking);
    assert.ok(lowered.nodes.every(({ type, outputs }) => type !== 'SimplifiedLayerNormalization' || outputs.length === 1));
    const feeds = someFeeds(graph);
    const expected = await (await compile(graph))(feeds);
    const result = await (await compile(lowered))(feeds);
    const largest = Math.max(...Object.entries(expected).filter(([name]) => name.startsWith('gradient.')).map(([, data]) => maxAbs(data)));
    for (const [name, data] of Object.entries(expected)) assertClose(result[name] ?? [], data, 1e-5 * (name.startsWith('gradient.') ? largest : Math.max(1, maxAbs(data))), name);
  });
}
