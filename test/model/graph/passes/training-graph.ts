/** Whole training graphs for passes to work on, with something to feed them. */
import { join } from 'node:path';
import { loraScale, peftName, readAdapter } from '../../../../model/adapter.ts';
import type { Graph, Value } from '../../../../model/graph/index.ts';
import { buildTrainingGraph } from '../../../../trainer/backends/training-graph.ts';
import { weightedNll } from '../../../trainer/backends/golden-batch.ts';
import { openGolden } from '../../golden.ts';
import type { Feed } from '../run.ts';

/** Forward, loss and backward of a stored model with its adapter; the weights are constants. */
export function goldenTrainingGraph(name: string): Graph {
  const golden = openGolden(name);
  const { config: lora, modules } = readAdapter(join(golden.directory, 'lora'), golden.config);
  return buildTrainingGraph(golden.config, {
    parameters: [...modules.keys()].flatMap((module) => [peftName(module, 'A'), peftName(module, 'B')]),
    weight: (to, tensor) => to.constant(golden.weights.read(tensor).data, golden.weights.shape(tensor)),
    lora: (to, module) => {
      const adapter = modules.get(module);
      return adapter && { a: to.input(peftName(module, 'A'), 'float32', adapter.a.shape), b: to.input(peftName(module, 'B'), 'float32', adapter.b.shape), scale: loraScale(lora) };
    },
  }, weightedNll);
}

export const someFeeds = (graph: Graph): Record<string, Feed> => Object.fromEntries(graph.inputs.map((input) => [input.name, someData(input)]));

/** Numbers of all signs below 1, small integers; three of every unknown dimension. */
function someData({ dtype, shape }: Value): Feed {
  const numbers = shape.map((dim) => (typeof dim === 'number' ? dim : 3));
  const size = numbers.reduce((product, dim) => product * dim, 1);
  return { shape: numbers, data: dtype === 'int32' ? Int32Array.from({ length: size }, (_, i) => i % 3) : Float32Array.from({ length: size }, (_, i) => Math.sin(i * i)) };
}
