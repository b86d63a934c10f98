import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import { loraScale, type Adapter } from '../../../model/adapter.ts';
import { causalAttention } from '../../../model/architectures/causal-attention.ts';
import { architectureOf, type Forward } from '../../../model/architectures/index.ts';
import { linear } from '../../../model/architectures/linear.ts';
import { encodeModel, gemm, Graph, openWeightBlob, reshape, type Value } from '../../../model/graph/index.ts';
import type { Model } from '../../../model/model.ts';
import { ropesOf, ropeTables, type RopeTable } from '../../../model/rope.ts';
import type { Golden } from '../../model/golden.ts';

export interface TokenBatch {
  /** `[batch, time]`, right-padded. */
  readonly ids: Int32Array;
  readonly batch: number;
  readonly time: number;
}

/** Logits `[batch·time, vocab]` of the architecture that training compiles, with the base weights in a file and an adapter in the graph. */
export async function logitsOf({ config, directory, weights }: Pick<Golden, 'config' | 'directory'> & Pick<Model, 'weights'>, { ids, batch, time }: TokenBatch, adapter: Adapter | null, cacheDir: string): Promise<Float32Array> {
  const blob = await openWeightBlob(cacheDir, directory.replaceAll('/', '_'), weights);
  const graph = new Graph();
  const tokenIds = graph.input('ids', 'int32', [batch, time]);
  const known = new Map<string, Value>();
  const weight = (name: string): Value => {
    const value = known.get(name) ?? blob.in(graph, name);
    known.set(name, value);
    return value;
  };
  const angles = (data: Float32Array): Value => graph.constant(data, [time, config.headDim / 2]);
  const rope = (table: RopeTable): { cos: Value; sin: Value } => {
    const rotation = ropesOf(config).get(table);
    if (!rotation) throw new Error(`the model has no rotation "${table}"`);
    const { cos, sin } = ropeTables(rotation, config.headDim, time);
    return { cos: angles(cos), sin: angles(sin) };
  };
  const forward: Forward = {
    config, weight,
    linear: (x, module) => {
      const lora = adapter?.modules.get(module);
      return linear(x, weight(`${module}.weight`), lora && adapter ? { a: graph.constant(lora.a.data, lora.a.shape), b: graph.constant(lora.b.data, lora.b.shape), scale: loraScale(adapter.config) } : undefined);
    },
    attention: causalAttention(config, { tokenIds, rope }),
  };
  const architecture = architectureOf(config);
  const output = architecture.output(forward, architecture.hidden(forward, reshape(tokenIds, [-1])));
  graph.output('logits', gemm(output, weight(architecture.headWeight(config)), { transB: true }));
  const path = join(blob.directory, `${randomUUID()}.onnx`);
  writeFileSync(path, encodeModel(graph));
  const session = await ort.InferenceSession.create(path, { intraOpNumThreads: 1, logSeverityLevel: 3 });
  const { logits } = await session.run({ ids: new ort.Tensor('int32', ids, [batch, time]) });
  if (!(logits?.data instanceof Float32Array)) throw new Error('the graph gave no logits');
  const copy = logits.data.slice(); // the session owns the memory
  await session.release();
  return copy;
}
