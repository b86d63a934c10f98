/** Prompts come in ever new lengths: nothing of a length may stay. In a file of its own, whose process's memory is this test's. */
import assert from 'node:assert/strict';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { NativeRuntime } from '../../../engine/session/native.ts';
import { PortableRuntime } from '../../../engine/session/portable.ts';
import { add, encodeModel, Graph, mul } from '../../../model/graph/index.ts';

const NODES = 400;
const SHAPES = 3000;
const MB = 2 ** 20;

for (const runtime of [new NativeRuntime(), new PortableRuntime()]) {
  await test(`${runtime.kind}: thousands of shapes leave no memory behind`, async () => {
    await using directory = await mkdtempDisposable(join(tmpdir(), 'session-'));
    const path = join(directory.path, 'sums.onnx');
    const graph = new Graph();
    const x = graph.input('x', 'float32', ['N']);
    // Each is used before the sum of all is known, and after: all have memory at once.
    const terms = Array.from({ length: NODES }, (_, i) => mul(x, i + 1));
    const sum = terms.reduce((before, term) => add(before, term));
    graph.output('y', terms.reduce((before, term) => add(before, mul(term, sum))));
    await writeFile(path, encodeModel(graph));
    const session = await runtime.open({ path, threads: 1 });
    const memory = { x: new Float32Array(SHAPES), y: new Float32Array(SHAPES) };
    const runWith = (from: number, to: number): Promise<void> => Array.from({ length: to - from }, (_, i) => from + i).reduce(async (before, length) => {
      await before;
      const view = (data: Float32Array) => ({ data: data.subarray(0, length), shape: [length] });
      await session.run({ inputs: { x: view(memory.x) }, outputs: { y: view(memory.y) } });
    }, Promise.resolve());
    await runWith(0.9 * SHAPES, SHAPES); // the longest: what they need at most is there then
    const before = process.memoryUsage().rss;
    await runWith(1, 0.9 * SHAPES);
    const grown = (process.memoryUsage().rss - before) / MB;
    assert.ok(grown < 30, `${grown.toFixed(0)} MB after ${SHAPES} shapes`);
    await session.release();
  });
}
