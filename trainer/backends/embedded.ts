/** The learner that needs nothing installed: emits ONNX graphs and runs them with onnxruntime-node on the CPU. */
import * as ort from 'onnxruntime-node';
import { adapterTensors, loraScale, peftName, type Adapter } from '../../model/adapter.ts';
import { architectureOf } from '../../model/architectures/index.ts';
import { type Graph, openWeightBlob, type Value } from '../../model/graph/index.ts';
import type { Model, ModelConfig, Tensor, Weights } from '../../model/model.ts';
import { ropesOf, ropeTables } from '../../model/rope.ts';
import type { BackwardResult, ForwardResult, Learner, LossFn, MicroBatch } from '../learner.ts';
import { buildTrainingGraph, gradientName, perTokenName, ropeName, type TensorSource } from './training-graph.ts';
import type { Device } from './device.ts';
import { openSession } from './session.ts';

export interface EmbeddedLearnerOptions {
  readonly model: Pick<Model, 'config' | 'weights' | 'fingerprint'>;
  readonly trainable:
    /** The adapter's own tensors are trained in place; the base weights stay frozen. */
    | { readonly kind: 'adapter'; readonly adapter: Adapter }
    /** Every tensor is trained, starting from copies of these weights (a published policy's; default: the model's own). */
    | { readonly kind: 'full'; readonly start?: Weights };
  readonly loss: LossFn;
  /** Trained beside the policy's own tensors. Default: there is none. */
  readonly valueHead?: ReadonlyMap<string, Tensor>;
  /** Default: the CPU. */
  readonly device?: Device;
  /** Compute the forward pass again during the backward pass, layer by layer, instead of keeping it: much less memory, more time, the same bytes. Default: no. */
  readonly recompute?: boolean;
  /** 0: as many as there are cores. Other numbers of threads may give other last bits. */
  readonly threads: number;
  /** Where graphs and the float32 base weights are kept; safe to delete. */
  readonly cacheDir: string;
}

interface Trainable {
  readonly parameters: ReadonlyMap<string, Tensor>;
  readonly source: TensorSource;
  /** Where graphs must lie to find the frozen weights; null if there are none. */
  readonly directory: string | null;
}

/**
 * One graph serves all shapes; the first `forward` and the first `forwardBackward` each take a second or so to prepare theirs.
 * The same batch and parameters give the same bytes.
 * @throws GraphError if the loss can't be differentiated
 */
export async function createEmbeddedLearner(options: EmbeddedLearnerOptions): Promise<Learner> {
  const { config } = options.model;
  const { parameters, source, directory } = withValueHead(await prepare(options), options.valueHead);
  const tensors = new Map([...parameters].map(([name, { data, shape }]) => [name, new ort.Tensor('float32', data, shape)]));
  const rope = new Map<number, ReadonlyMap<string, ort.Tensor>>();

  const open = (loss: LossFn | null): Promise<ort.InferenceSession> => openSession(buildTrainingGraph(config, source, loss, { recompute: options.recompute ?? false }), directory, { device: options.device ?? 'cpu', threads: options.threads });
  let forwardSession: Promise<ort.InferenceSession> | undefined;
  let backwardSession: Promise<ort.InferenceSession> | undefined;

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
    async forward(batch): Promise<ForwardResult> {
      forwardSession ??= open(null);
      const output = await run(await forwardSession, batch);
      return predicted(output);
    },
    async forwardBackward(batch): Promise<BackwardResult> {
      backwardSession ??= open(options.loss);
      const output = await run(await backwardSession, batch);
      const [loss = Number.NaN] = output('loss');
      const gradients = new Map([...parameters.keys()].map((name) => [name, output(gradientName(name))]));
      return { ...predicted(output), loss, gradients };
    },
    async close(): Promise<void> {
      for (const session of [forwardSession, backwardSession]) await (await session)?.release();
    },
  };
}

async function prepare({ model, trainable, cacheDir }: EmbeddedLearnerOptions): Promise<Trainable> {
  if (trainable.kind === 'adapter') {
    const { adapter } = trainable;
    const blob = await openWeightBlob(cacheDir, model.fingerprint, model.weights);
    const parameters = adapterTensors(adapter);
    const source: TensorSource = {
      parameters: [...parameters.keys()],
      weight: (graph, name) => blob.in(graph, name),
      lora: (graph, module) => {
        const lora = adapter.modules.get(module);
        return lora && {
          a: graph.input(peftName(module, 'A'), 'float32', lora.a.shape),
          b: graph.input(peftName(module, 'B'), 'float32', lora.b.shape),
          scale: loraScale(adapter.config),
        };
      },
    };
    return { parameters, source, directory: blob.directory };
  }
  const shapes = architectureOf(model.config).tensors(model.config);
  const start = trainable.start ?? model.weights;
  const parameters = new Map([...shapes].map(([name, shape]) => [name, { shape, data: start.read(name).data.slice() }]));
  const source: TensorSource = {
    parameters: [...parameters.keys()],
    weight: (graph, name) => graph.input(name, 'float32', shapes.get(name) ?? []),
    lora: () => undefined,
  };
  return { parameters, source, directory: null };
}

function withValueHead(trainable: Trainable, valueHead: ReadonlyMap<string, Tensor> | undefined): Trainable {
  if (!valueHead) return trainable;
  const parameters = new Map([...trainable.parameters, ...valueHead]);
  const input = (graph: Graph, name: string): Value => graph.input(name, 'float32', valueHead.get(name)?.shape ?? []);
  return { ...trainable, parameters, source: { ...trainable.source, parameters: [...parameters.keys()], valueHead: input } };
}

/** cos and sin of the first `time` positions, by their names in the graph. */
function ropeTensors(config: ModelConfig, time: number): ReadonlyMap<string, ort.Tensor> {
  const shape = [time, config.headDim / 2];
  return new Map([...ropesOf(config)].flatMap(([table, rope]) => {
    const { cos, sin } = ropeTables(rope, config.headDim, time);
    return [[ropeName('cos', table), new ort.Tensor('float32', cos, shape)], [ropeName('sin', table), new ort.Tensor('float32', sin, shape)]] as const;
  }));
}

function batchTensors(batch: MicroBatch): [string, ort.Tensor][] {
  const trained = [batch.positions.length];
  return [
    ['token_ids', new ort.Tensor('int32', batch.tokenIds, [batch.batch, batch.time])],
    ['positions', new ort.Tensor('int32', batch.positions, trained)],
    ['targets', new ort.Tensor('int32', batch.targets, trained)],
    ['inverse_temperature', new ort.Tensor('float32', batch.temperature.map((t) => 1 / t), trained)],
    ...(batch.sequences ? [['sequences', new ort.Tensor('int32', batch.sequences, trained)] satisfies [string, ort.Tensor]] : []),
    ...Object.entries(batch.perToken).map(([name, data]): [string, ort.Tensor] => [perTokenName(name), new ort.Tensor('float32', data, trained)]),
  ];
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
