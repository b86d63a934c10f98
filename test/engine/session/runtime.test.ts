/** Both ways to the runtime do the same; and here, the fast one is taken. */
import assert from 'node:assert/strict';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { cacheShape } from '../../../engine/decode-graph.ts';
import { KvCache } from '../../../engine/kv.ts';
import { PolicyLoader } from '../../../engine/policy.ts';
import { NativeRuntime } from '../../../engine/session/native.ts';
import { PortableRuntime } from '../../../engine/session/portable.ts';
import { openRuntime, type Runtime, type Session } from '../../../engine/session/session.ts';
import { add, encodeModel, gemm, Graph } from '../../../model/graph/index.ts';
import { openGolden } from '../../model/golden.ts';

async function plusOne(runtime: Runtime, directory: string): Promise<Session> {
  const graph = new Graph();
  const x = graph.input('x', 'float32', ['N']);
  graph.output('y', add(x, 1));
  await writeFile(join(directory, 'plus-one.onnx'), encodeModel(graph));
  return runtime.open({ path: join(directory, 'plus-one.onnx'), threads: 1 });
}

await test('the C API is what an engine uses', async () => {
  // If this one fails, on a new platform or after an update: engines still serve, but every step copies the caches. See engine/session/.
  assert.equal((await openRuntime()).kind, 'c-api');
});

for (const runtime of [new NativeRuntime(), new PortableRuntime()]) {
  describe(runtime.kind, () => {
    test('outputs are written into the memory that is given, parts of larger arrays too', async () => {
      await using directory = await mkdtempDisposable(join(tmpdir(), 'session-'));
      const session = await plusOne(runtime, directory.path);
      assert.deepEqual(session.inputNames, ['x']);
      const memory = new Float32Array(8);
      for (const values of [[1, 2, 3], [4, 5, 6]]) {
        await session.run({ inputs: { x: { data: Float32Array.from(values), shape: [3] } }, outputs: { y: { data: memory.subarray(4, 7), shape: [3] } } });
        assert.deepEqual([...memory], [0, 0, 0, 0, ...values.map((value) => value + 1), 0]);
      }
      await session.release();
    });

    test('weights may be the caller\'s, and several sessions\'', async () => {
      await using directory = await mkdtempDisposable(join(tmpdir(), 'session-'));
      const graph = new Graph();
      graph.output('y', gemm(graph.input('x', 'float32', ['N', 2]), graph.external('w', [3, 2], { location: 'product.bin', offset: 0 }), { transB: true }));
      const path = join(directory.path, 'product.onnx');
      await writeFile(path, encodeModel(graph));
      const values = Float32Array.of(1, 0, 0, 1, 1, 1);
      // The package's own binding reads files.
      await writeFile(join(directory.path, 'product.bin'), new Uint8Array(values.buffer));
      const weights = { w: { data: values, shape: [3, 2] } };
      const y = new Float32Array(6);
      for (const session of [await runtime.open({ path, threads: 1, weights }), await runtime.open({ path, threads: 1, weights })]) {
        await session.run({ inputs: { x: { data: Float32Array.of(5, 7, 1, 2), shape: [2, 2] } }, outputs: { y: { data: y.fill(0), shape: [2, 3] } } });
        assert.deepEqual([...y], [5, 7, 12, 1, 2, 3]);
        await session.release();
      }
    });

    test('errors are the runtime\'s own', async () => {
      await using directory = await mkdtempDisposable(join(tmpdir(), 'session-'));
      const session = await plusOne(runtime, directory.path);
      const y = { data: new Float32Array(2), shape: [2] };
      await assert.rejects(session.run({ inputs: { x: { data: Int32Array.of(1, 2), shape: [2] } }, outputs: { y } }), /Unexpected input data type|invalid data type/i);
      await assert.rejects(session.run({ inputs: { z: y }, outputs: { y } }), /z|input 'x' is missing/);
      await session.release();
      await assert.rejects(async () => runtime.open({ path: join(directory.path, 'missing.onnx'), threads: 1 }), /missing\.onnx/);
    });

    test('keys and values are appended in place', async () => {
      await using directory = await mkdtempDisposable(join(tmpdir(), 'session-'));
      const golden = openGolden('llama-tied');
      const loader = await PolicyLoader.open(golden.directory, { cacheDir: directory.path, maxContext: 64, threads: 1 }, runtime);
      const policy = await loader.base();
      const cache = new KvCache(cacheShape(golden.config), 64);
      cache.reserve(2, 4, []);
      const [before] = cache.buffers;
      await policy.runner.run({ tokenIds: Int32Array.of(1, 2, 3), batch: 1, pasts: Int32Array.of(0), cache, slot: 1, adapters: [null] });
      assert.equal(cache.buffers[0], before);
      for (let buffer = 0; buffer < cache.buffers.length; buffer++) {
        assert.ok(cache.view(buffer, 0, 1).every((value) => value === 0), 'the other row is untouched');
        const { headDim } = cache.shape;
        const row = cache.view(buffer, 1, 1);
        assert.deepEqual([0, 1, 2, 3].map((position) => row.subarray(position * headDim, (position + 1) * headDim).some((value) => value !== 0)), [true, true, true, false]);
      }
      policy.release();
    });
  });
}
