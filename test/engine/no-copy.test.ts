import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { runInPlace, stopFetch, withStop } from '../../engine/no-copy.ts';
import { add, encodeModel, Graph } from '../../model/graph/index.ts';

async function plusOne(): Promise<InferenceSession> {
  const graph = new Graph();
  const x = graph.input('x', 'float32', ['N']);
  const marker = graph.input('marker', 'int32', []);
  graph.output('y', add(x, 1));
  graph.output('seen', marker);
  return InferenceSession.create(withStop(encodeModel(graph), 'marker'), { logSeverityLevel: 4 });
}

await test('the preallocated output is computed, and the binding stops before it copies it', async () => {
  const session = await plusOne();
  const y = new Tensor('float32', new Float32Array(3), [3]);
  const feeds = { x: new Tensor('float32', Float32Array.of(1, 2, 3), [3]), marker: new Tensor('int32', Int32Array.of(7), []) };
  // If this one fails after an update of onnxruntime-node: results are still right, but every step copies the caches again.
  await assert.rejects(session.run(feeds, { ...stopFetch, y }), /Non tensor type/);
  y.data.fill(0);
  await runInPlace(session.run(feeds, { ...stopFetch, y }));
  assert.deepEqual([...y.data], [2, 3, 4]);
  await session.release();
});

await test('a real error is still one', async () => {
  const session = await plusOne();
  const y = new Tensor('float32', new Float32Array(3), [3]);
  await assert.rejects(runInPlace(session.run({ x: y }, { ...stopFetch, y })), /marker/);
  await session.release();
});
