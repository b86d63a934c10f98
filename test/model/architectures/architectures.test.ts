import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import * as ort from 'onnxruntime-node';
import { loraScale, mergeLora, readAdapter, type Adapter } from '../../../model/adapter.ts';
import { causalAttention } from '../../../model/architectures/causal-attention.ts';
import { architectureOf } from '../../../model/architectures/index.ts';
import { linear } from '../../../model/architectures/linear.ts';
import { encodeModel, Graph, openWeightBlob, reshape, type Value } from '../../../model/graph/index.ts';
import { ropesOf, ropeTables, type RopeTable } from '../../../model/rope.ts';
import { assertClose, openGolden, type Golden } from '../golden.ts';

const cacheDir = mkdtempSync(join(tmpdir(), 'architectures-'));
after(() => rmSync(cacheDir, { recursive: true }));

/** Logits `[batch·time, vocab]` of the golden batch, by the base weights in a file and an adapter in the graph. */
async function logits(golden: Golden, adapter?: Adapter, ids = golden.results.readInts('input_ids')): Promise<Float32Array> {
  const { config, results } = golden;
  const [batch = 0, time = 0] = results.shape('input_ids');
  const blob = await openWeightBlob(cacheDir, golden.directory.replaceAll('/', '_'), golden.weights);
  const graph = new Graph();
  const tokenIds = graph.input('ids', 'int32', [batch, time]);
  const angles = (data: Float32Array): Value => graph.constant(data, [time, config.headDim / 2]);
  const rope = (table: RopeTable): { cos: Value; sin: Value } => {
    const { cos, sin } = ropeTables(ropesOf(config).get(table) ?? assert.fail(table), config.headDim, time);
    return { cos: angles(cos), sin: angles(sin) };
  };
  const weights = new Map<string, Value>();
  const weight = (name: string): Value => { const value = weights.get(name) ?? blob.in(graph, name); weights.set(name, value); return value; };
  const architecture = architectureOf(config);
  const forward = {
    config, weight,
    linear: (x: Value, module: string) => {
      const lora = adapter?.modules.get(module);
      return linear(x, weight(`${module}.weight`), lora && adapter && { a: graph.constant(lora.a.data, lora.a.shape), b: graph.constant(lora.b.data, lora.b.shape), scale: loraScale(adapter.config) });
    },
    attention: causalAttention(config, { tokenIds, rope }),
  };
  graph.output('logits', architecture.logits(forward, architecture.output(forward, architecture.hidden(forward, reshape(tokenIds, [-1])))));
  const path = join(blob.directory, `${Math.random()}.onnx`);
  writeFileSync(path, encodeModel(graph));
  const session = await ort.InferenceSession.create(path, { intraOpNumThreads: 1, logSeverityLevel: 3 });
  const { logits: output } = await session.run({ ids: new ort.Tensor('int32', ids, [batch, time]) });
  assert.ok(output?.data instanceof Float32Array);
  return output.data;
}

/** Where the golden batch has no token the stored logits are 0: those rows are set to 0 too. */
function atTokens(golden: Golden, all: Float32Array): Float32Array {
  const width = golden.config.vocabSize;
  golden.results.readInts('attention_mask').forEach((mask, row) => { if (mask === 0) all.fill(0, row * width, (row + 1) * width); });
  return all;
}

for (const name of ['llama-tied', 'llama-untied-llama3rope', 'qwen2', 'qwen3', 'gemma3-text']) {
  describe(name, () => {
    const golden = openGolden(name);

    test('has the tensors of its checkpoint', () => {
      const tensors = architectureOf(golden.config).tensors(golden.config);
      assert.deepEqual([...tensors.keys()].sort(), [...golden.weights.names()].sort());
      for (const [tensor, shape] of tensors) assert.deepEqual(shape, golden.weights.shape(tensor), tensor);
    });

    test('turns by the angles that transformers turns by', () => {
      for (const [table, rope] of ropesOf(golden.config)) {
        const prefix = golden.config.sliding ? `rope/${table}_attention` : 'rope';
        const [time = 0, headDim = 0] = golden.results.shape(`${prefix}/cos`);
        const { cos, sin } = ropeTables(rope, headDim, time);
        for (const [wave, stored] of [[cos, `${prefix}/cos`], [sin, `${prefix}/sin`]] as const) {
          const whole = golden.results.read(stored).data;
          const firstHalf = wave.map((_, i) => whole[Math.floor(i / (headDim / 2)) * headDim + (i % (headDim / 2))] ?? Number.NaN);
          assertClose(wave, firstHalf, 1e-6, stored);
        }
      }
    });

    test('base logits', async () => assertClose(atTokens(golden, await logits(golden)), golden.results.read('base/logits').data, 5e-5, 'logits'));

    // Padding always comes last here, so that no mask is needed: a left-padded batch is one whose rows were moved.
    test('base logits of the left-padded batch, its rows moved to the front', async () => {
      const { results } = golden;
      const [, time = 0] = results.shape('input_ids');
      const padded = results.readInts('left/input_ids');
      const mask = results.readInts('left/attention_mask');
      const ids = new Int32Array(padded.length);
      for (let row = 0; row < padded.length; row += time) ids.set(padded.subarray(row + mask.subarray(row, row + time).indexOf(1), row + time), row);
      assertClose(atTokens(golden, await logits(golden, undefined, ids)), results.read('base/logits').data, 5e-5, 'logits');
    });

    for (const block of ['lora', 'lora_rs'].filter((block) => golden.results.has(`${block}/logits`))) {
      const adapter = readAdapter(join(golden.directory, block), golden.config);
      test(`${block} logits`, async () => assertClose(atTokens(golden, await logits(golden, adapter)), golden.results.read(`${block}/logits`).data, 1e-4, 'logits'));
      for (const stored of golden.results.names().filter((tensor) => tensor.startsWith(`${block}/merged.`))) {
        test(stored, () => {
          const tensor = stored.slice(`${block}/merged.`.length);
          const lora = adapter.modules.get(tensor.replace(/\.weight$/, ''));
          assert.ok(lora, tensor);
          assertClose(mergeLora(golden.weights.read(tensor), lora, loraScale(adapter.config)).data, golden.results.read(stored).data, 1e-6, tensor);
        });
      }
    }
  });
}
