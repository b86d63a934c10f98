/** The learner that needs nothing installed: emits ONNX graphs and runs them with onnxruntime-node. */
import * as ort from 'onnxruntime-node';
import type { BackwardResult, ForwardResult, Learner, LossFn, MicroBatch } from '../learner.ts';
import { backwardSession } from './backward-session.ts';
import type { Device } from './device.ts';
import { batchTensors, ropeTensors } from './feeds.ts';
import type { MemoryOptions } from './memory.ts';
import { openSession } from './session.ts';
import { openTrainable, type TrainableOptions } from './trainable.ts';
import { buildTrainingGraph, gradientName } from './training-graph.ts';

export interface EmbeddedLearnerOptions extends TrainableOptions {
  readonly loss: LossFn;
  /** Default: the CPU. */
  readonly device?: Device;
  /** 0: as many as there are cores. Other numbers of threads may give other last bits. */
  readonly threads: number;
  /** How much memory there is, and what to do about it. The gradients have the same bytes either way. Default: what is free. */
  readonly memory?: MemoryOptions;
}

/**
 * One graph serves all shapes; the first `forward` and the first `forwardBackward` each take a few seconds or so to prepare theirs.
 * The same batch and parameters give the same bytes.
 * @throws GraphError if the loss can't be differentiated
 */
export async function createEmbeddedLearner(options: EmbeddedLearnerOptions): Promise<Learner> {
  const { model: { config }, loss, device = 'cpu', threads, memory = { recompute: 'auto' } } = options;
  const resident = process.memoryUsage.rss();
  const { parameters, source, directory, frozenBytes } = await openTrainable(options);
  const tensors = new Map([...parameters].map(([name, { data, shape }]) => [name, new ort.Tensor('float32', data, shape)]));
  const parameterBytes = [...parameters.values()].reduce((sum, { data }) => sum + data.byteLength, 0);
  const rope = new Map<number, ReadonlyMap<string, ort.Tensor>>();

  const open = (graph: Parameters<typeof openSession>[0]): Promise<ort.InferenceSession> => openSession(graph, directory, { device, threads });
  const backward = backwardSession(
    (recompute) => buildTrainingGraph(config, source, loss, { recompute }),
    open,
    { resident, weights: frozenBytes, parameters: parameterBytes },
    // A GPU's memory is not the process's: there, recomputation is asked for or not done.
    device === 'cpu' ? memory : { recompute: memory.recompute === 'always' ? 'always' : 'never', maxMemoryMb: Infinity },
  );
  let forwardSession: Promise<ort.InferenceSession> | undefined;

  const run = async (session: ort.InferenceSession, batch: MicroBatch): Promise<(name: string) => Float32Array> => {
    const angles = rope.get(batch.time) ?? ropeTensors(config, batch.time);
    rope.set(batch.time, angles);
    const feeds = new Map<string, ort.Tensor>([...batchTensors(batch), ...angles, ...tensors]);
    const outputs = await session.run(Object.fromEntries(session.inputNames.map((name) => [name, required(feeds, name)])));
    return (name) => floats(outputs, name);
  };

  const predicted = (output: (name: string) => Float32Array): ForwardResult => (
    { logprobs: output('logprob'), entropy: output('entropy'), ...(options.valueHead ? { values: output('value') } : {}) }
  );

  return {
    parameters,
    plan: (batches) => backward.plan(batches),
    async forward(batch): Promise<ForwardResult> {
      forwardSession ??= open(buildTrainingGraph(config, source, null));
      return predicted(await run(await forwardSession, batch));
    },
    async forwardBackward(batch): Promise<BackwardResult> {
      await backward.plan([batch]);
      const output = await run(await backward.get(), batch);
      const [value = Number.NaN] = output('loss');
      const gradients = new Map([...parameters.keys()].map((name) => [name, output(gradientName(name))]));
      return { ...predicted(output), loss: value, gradients };
    },
    async close(): Promise<void> {
      await (await forwardSession)?.release();
      await backward.close();
    },
  };
}

function required(feeds: ReadonlyMap<string, ort.Tensor>, name: string): ort.Tensor {
  const tensor = feeds.get(name);
  if (!tensor) throw new Error(`the loss needs the per-token input "${name.replace(/^token\./, '')}", which the batch does not have`);
  return tensor;
}

function floats(outputs: ort.InferenceSession.ReturnType, name: string): Float32Array {
  const data = outputs[name]?.data;
  if (!(data instanceof Float32Array)) throw new Error(`the graph has no float output ${name}`);
  return data;
}
