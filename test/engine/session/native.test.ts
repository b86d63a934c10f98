/** In a file of its own, without `onnxruntime-node`, which would keep the library loaded. */
import assert from 'node:assert/strict';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { NativeRuntime } from '../../../engine/session/native.ts';
import { add, encodeModel, Graph } from '../../../model/graph/index.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void; // what the flag exposes

await test('what the C API needs outlives a garbage collection', async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'session-'));
  const path = join(directory.path, 'plus-one.onnx');
  const graph = new Graph();
  graph.output('y', add(graph.input('x', 'float32', ['N']), 1));
  await writeFile(path, encodeModel(graph));
  const runtime = new NativeRuntime();
  collectGarbage();
  await setImmediate();
  const session = await runtime.open({ path, threads: 1 });
  const y = new Float32Array(3);
  const standing = { inputs: {}, outputs: { y: { data: y, shape: [3] } } };
  for (let i = 0; i < 3; i++) {
    collectGarbage();
    await setImmediate();
    await session.run({ inputs: { x: { data: Float32Array.of(i, 1, 2), shape: [3] } }, outputs: {} }, [standing]);
    assert.deepEqual([...y], [i + 1, 2, 3]);
  }
  await session.release();
});
