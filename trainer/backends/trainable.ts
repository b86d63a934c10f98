/** The tensors that are trained, and where a graph finds these and the frozen ones. */
import { adapterTensors, loraScale, peftName, type Adapter } from '../../model/adapter.ts';
import { architectureOf } from '../../model/architectures/index.ts';
import { type Graph, openWeightBlob, type Value } from '../../model/graph/index.ts';
import type { Model, Tensor, Weights } from '../../model/model.ts';
import type { TensorSource } from './training-graph.ts';

export interface TrainableOptions {
  readonly model: Pick<Model, 'config' | 'weights' | 'fingerprint'>;
  readonly trainable:
    /** The adapter's own tensors are trained in place; the base weights stay frozen. */
    | { readonly kind: 'adapter'; readonly adapter: Adapter }
    /** Every tensor is trained, starting from copies of these weights (a published policy's; default: the model's own). */
    | { readonly kind: 'full'; readonly start?: Weights };
  /** Trained beside the policy's own tensors. Default: there is none. */
  readonly valueHead?: ReadonlyMap<string, Tensor>;
  /** Where graphs and the float32 base weights are kept; safe to delete. */
  readonly cacheDir: string;
}

export interface Trainable {
  readonly parameters: ReadonlyMap<string, Tensor>;
  readonly source: TensorSource;
  /** Where graphs must lie to find the frozen weights; null if there are none. */
  readonly directory: string | null;
  /** Of the frozen weights' file. */
  readonly frozenBytes: number;
}

export async function openTrainable(options: TrainableOptions): Promise<Trainable> {
  const policy = options.trainable.kind === 'adapter' ? await adapterTrainable(options, options.trainable.adapter) : fullTrainable(options, options.trainable.start);
  return options.valueHead ? withValueHead(policy, options.valueHead) : policy;
}

async function adapterTrainable({ model, cacheDir }: TrainableOptions, adapter: Adapter): Promise<Trainable> {
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
  return { parameters, source, directory: blob.directory, frozenBytes: blob.bytes };
}

function fullTrainable({ model }: TrainableOptions, start: Weights = model.weights): Trainable {
  const shapes = architectureOf(model.config).tensors(model.config);
  const parameters = new Map([...shapes].map(([name, shape]) => [name, { shape, data: start.read(name).data.slice() }]));
  const source: TensorSource = {
    parameters: [...parameters.keys()],
    weight: (graph, name) => graph.input(name, 'float32', shapes.get(name) ?? []),
    lora: () => undefined,
  };
  return { parameters, source, directory: null, frozenBytes: 0 };
}

function withValueHead(policy: Trainable, valueHead: ReadonlyMap<string, Tensor>): Trainable {
  const parameters = new Map([...policy.parameters, ...valueHead]);
  const input = (graph: Graph, name: string): Value => graph.input(name, 'float32', valueHead.get(name)?.shape ?? []);
  return { ...policy, parameters, source: { ...policy.source, parameters: [...parameters.keys()], valueHead: input } };
}
