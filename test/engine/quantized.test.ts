/** Weights of 8 bits: how far off they are, and that what is promised of rows and prompts holds for them too. */
import assert from 'node:assert/strict';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openQuantizedWeights } from '../../engine/quantized-weights.ts';
import { openRuntime } from '../../engine/session/session.ts';
import { encodeModel, Graph } from '../../model/graph/index.ts';
import { quantize } from '../../model/graph/ops/quantized-product.ts';
import { seededRandom } from '../../trainer/random.ts';
import { openGolden } from '../model/golden.ts';
import { collect, engineOn, greedy, request } from './collect.ts';

await test('a weight is off by half a scale at most; a block of zeros stays zero', () => {
  const random = seededRandom(1);
  const block = 32;
  const weights = Float32Array.from({ length: 4 * block }, (_, i) => (i < block ? 0 : (random() - 0.5) * 10 ** Math.floor(i / block)));
  const { values, scales } = quantize(weights, block);
  for (const [i, weight] of weights.entries()) {
    const scale = scales[Math.floor(i / block)] ?? NaN;
    assert.ok(Math.abs(((values[i] ?? NaN) - 128) * scale - weight) <= scale * 0.5001);
  }
});

for (const inner of [96, 192]) await test(`the kernel computes with what was quantized, the same for a row alone and among others (rows of ${inner})`, async () => {
  const [out, rows] = [40, 20];
  const random = seededRandom(2);
  const data = Float32Array.from({ length: out * inner }, () => random() - 0.5);
  const x = Float32Array.from({ length: rows * inner }, () => random() - 0.5);
  await using directory = await mkdtempDisposable(join(tmpdir(), 'quantized-'));
  const weights = { names: () => ['w'], has: () => true, shape: () => [out, inner], read: () => ({ shape: [out, inner], data }), close: () => undefined };
  const matrix = { name: 'w', kind: 'w', parts: new Map([['w', out]]), inner };
  const quantized = await openQuantizedWeights(directory.path, weights, [matrix]);
  const graph = new Graph();
  graph.output('y', quantized.product(graph, graph.input('x', 'float32', ['N', inner]), matrix));
  await writeFile(join(directory.path, 'graph.onnx'), encodeModel(graph));
  const session = await (await openRuntime()).open({ path: join(directory.path, 'graph.onnx'), threads: 1 });
  const multiply = async (count: number): Promise<Float32Array> => {
    const y = new Float32Array(count * out);
    await session.run({ inputs: { x: { data: x.subarray(0, count * inner), shape: [count, inner] } }, outputs: { y: { data: y, shape: [count, out] } } });
    return y;
  };
  const all = await multiply(rows);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < out; column++) {
      let exact = 0;
      for (let k = 0; k < inner; k++) exact += (x[row * inner + k] ?? 0) * (data[column * inner + k] ?? 0);
      assert.ok(Math.abs((all[row * out + column] ?? NaN) - exact) < 0.05, `row ${row}, column ${column}`);
    }
  }
  for (const count of [1, 2, 16]) assert.deepEqual(await multiply(count), all.slice(0, count * out));
  await session.release();
});

await test('a model in 8 bits says nearly what it says in float32', async () => {
  const { directory: model, results } = openGolden('llama-tied');
  const prompt = results.readInts('input_ids').subarray(0, 8);
  const ask = async (weights: 'float32' | 'int8') => {
    await using running = await engineOn(model, { weights });
    const [alone] = await collect(running.engine, request(prompt, { maxTokens: 12, sampling: greedy }));
    const together = await Promise.all([1, 2, 3].map(() => collect(running.engine, request(prompt, { maxTokens: 12, sampling: greedy }))));
    for (const [choice] of together) assert.deepEqual(choice?.tokens, alone?.tokens);
    return alone?.tokens ?? [];
  };
  const [exact, coarse] = [await ask('float32'), await ask('int8')];
  const same = exact.findIndex(({ id }, i) => id !== coarse[i]?.id);
  const common = same < 0 ? exact.length : same;
  assert.ok(common >= 1);
  for (let i = 0; i < common; i++) {
    const error = Math.abs((exact[i]?.logprob ?? NaN) - (coarse[i]?.logprob ?? NaN));
    assert.ok(error < 0.2, `token ${i}: ${error}`);
  }
  assert.notDeepEqual(exact.map(({ logprob }) => logprob), coarse.map(({ logprob }) => logprob), 'it is not float32');
});
