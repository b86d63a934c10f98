import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import * as ort from 'onnxruntime-node';
import { encodeModel, Graph, GraphError, mul, openWeightBlob } from '../../../model/graph/index.ts';
import type { Weights } from '../../../model/model.ts';

const cacheDir = mkdtempSync(join(tmpdir(), 'blob-'));
after(() => rmSync(cacheDir, { recursive: true }));

const tensors = new Map([['b', { shape: [3], data: Float32Array.of(1, 2, 3) }], ['a', { shape: [2, 2], data: Float32Array.of(4, 5, 6, 7) }]]);
let reads = 0;
const tensor = (name: string) => tensors.get(name) ?? assert.fail(name);
const weights: Weights = {
  names: () => [...tensors.keys()], has: (name) => tensors.has(name), shape: (name) => tensor(name).shape, close: () => undefined,
  read: (name) => { reads++; return tensor(name); },
};

test('tensors are found by graphs that lie beside the file', async () => {
  const blob = await openWeightBlob(cacheDir, 'one', weights);
  const graph = new Graph();
  for (const name of tensors.keys()) graph.output(`twice_${name}`, mul(blob.in(graph, name), 2));
  const path = join(blob.directory, 'graph.onnx');
  writeFileSync(path, encodeModel(graph));
  const outputs = await (await ort.InferenceSession.create(path, { logSeverityLevel: 3 })).run({});
  for (const [name, { data }] of tensors) assert.deepEqual(outputs[`twice_${name}`]?.data, data.map((x) => 2 * x));
  assert.throws(() => blob.in(graph, 'c'), new GraphError('the model has no tensor "c"'));
});

test('a written file is reused, a cut-off one is written again', async () => {
  await openWeightBlob(cacheDir, 'two', weights);
  const before = reads;
  const { directory, bytes } = await openWeightBlob(cacheDir, 'two', weights);
  assert.equal(reads, before);
  writeFileSync(join(directory, 'weights.bin'), 'cut off');
  await openWeightBlob(cacheDir, 'two', weights);
  assert.equal(reads, before + 2);
  assert.equal(statSync(join(directory, 'weights.bin')).size, bytes);
});

test('two that write at once leave one whole file', async () => {
  const [blob] = await Promise.all([1, 2, 3].map(() => openWeightBlob(cacheDir, 'three', weights)));
  assert.deepEqual(readdirSync(blob?.directory ?? ''), ['weights.bin']);
});
