/** Runs a graph once. */
import * as ort from 'onnxruntime-node';
import { encodeModel, type Graph } from '../../../model/graph/index.ts';

export type Data = Float32Array | Int32Array | BigInt64Array;
export interface Feed {
  readonly data: Data;
  readonly shape: readonly number[];
}

export function toTensor({ data, shape }: Feed): ort.Tensor {
  if (data instanceof Float32Array) return new ort.Tensor('float32', data, shape);
  if (data instanceof Int32Array) return new ort.Tensor('int32', data, shape);
  return new ort.Tensor('int64', data, shape);
}

/** A session for a graph without external data, as a function from feeds to the float outputs. */
export async function compile(graph: Graph): Promise<(feeds: Readonly<Record<string, Feed>>) => Promise<Record<string, Float32Array>>> {
  const session = await ort.InferenceSession.create(encodeModel(graph), { intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3 });
  return async (feeds) => {
    const outputs = await session.run(Object.fromEntries(session.inputNames.map((name) => {
      const feed = feeds[name];
      if (!feed) throw new Error(`no feed for ${name}`);
      return [name, toTensor(feed)];
    })));
    return Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => {
      if (!(data instanceof Float32Array)) throw new Error(`${name} is no float tensor`);
      return [name, data];
    }));
  };
}
