/** The graph that the embedded learner runs: forward, the loss, and backward, for any batch, time and number of trained tokens. */
import { architectureOf, type Forward } from '../../model/architectures/index.ts';
import { causalAttention } from '../../model/architectures/causal-attention.ts';
import { linear, type LoraValues } from '../../model/architectures/linear.ts';
import { gather, Graph, gradients, reshape, segmentTotal, tokenDistribution, type Value } from '../../model/graph/index.ts';
import type { ModelConfig } from '../../model/model.ts';
import type { RopeTable } from '../../model/rope.ts';
import type { LossFn } from '../learner.ts';
import { valueHead } from '../value-head.ts';

/** Where the tensors of a forward pass come from. */
export interface TensorSource {
  readonly weight: (graph: Graph, name: string) => Value;
  /** A module's adapter, if it has one. */
  readonly lora: (graph: Graph, module: string) => LoraValues | undefined;
  /** A tensor of the value head by name; absent: there is none. */
  readonly valueHead?: (graph: Graph, name: string) => Value;
  /** Input names of the trainable tensors. */
  readonly parameters: readonly string[];
}

export const gradientName = (parameter: string): string => `gradient.${parameter}`;
export const ropeName = (wave: 'cos' | 'sin', table: RopeTable): string => `${wave}.${table}`;
/** The prefix keeps a loss's inputs apart from the graph's own. */
export const perTokenName = (name: string): string => `token.${name}`;

/**
 * Inputs: `token_ids`, `places` and `seen_until` int32 `[batch, time]`, cos and sin of each rotation `[time, headDim/2]`, `positions` and `targets` int32 `[M]`,
 * `inverse_temperature` `[M]`, the loss's per-token inputs, and the parameters by name. Outputs: `logprob`, `entropy` and, with a value head, `value` `[M]`,
 * and with a loss `loss` `[]` and a gradient per parameter.
 */
export function buildTrainingGraph(config: ModelConfig, source: TensorSource, loss: LossFn | null, { recompute = false }: { readonly recompute?: boolean } = {}): Graph {
  const graph = new Graph();
  const tokenIds = graph.input('token_ids', 'int32', ['batch', 'time']);
  const positions = graph.input('positions', 'int32', ['M']);
  const targets = graph.input('targets', 'int32', ['M']);
  const inverseTemperature = graph.input('inverse_temperature', 'float32', ['M']);
  const angles = memoized((name) => graph.input(name, 'float32', ['time', config.headDim / 2]));
  const weight = memoized((name) => source.weight(graph, name));
  const forward: Forward = {
    config,
    weight,
    linear: (x, module) => linear(x, weight(`${module}.weight`), source.lora(graph, module)),
    attention: causalAttention(config, { tokenIds, branches: { places: graph.input('places', 'int32', ['batch', 'time']), seenUntil: graph.input('seen_until', 'int32', ['batch', 'time']) }, rope: (table) => ({ cos: angles(ropeName('cos', table)), sin: angles(ropeName('sin', table)) }) }),
  };

  const architecture = architectureOf(config);
  const hidden = architecture.hidden(forward, reshape(tokenIds, [-1]));
  const output = architecture.output(forward, gather(hidden, positions));
  const { logprob, entropy } = tokenDistribution(output, weight(architecture.headWeight(config)), targets, inverseTemperature);
  graph.output('logprob', logprob);
  graph.output('entropy', entropy);
  const { valueHead: ofValueHead } = source;
  const value = ofValueHead && valueHead(output, (name) => ofValueHead(graph, name));
  if (value) graph.output('value', value);
  if (loss) {
    const perToken = memoized((name) => graph.input(perTokenName(name), 'float32', ['M']));
    const sequences = memoized((name) => graph.input(name, 'int32', ['M']));
    const { loss: scalar } = loss({ graph, logprob, entropy, perToken, sequenceSum: (x) => segmentTotal(x, sequences('sequences')), ...(value ? { value } : {}) });
    graph.output('loss', scalar);
    const inputs = new Map(graph.inputs.map((input) => [input.name, input]));
    const parameters = source.parameters.flatMap((name) => inputs.get(name) ?? []);
    gradients(scalar, parameters, { recompute }).forEach((gradient, i) => graph.output(gradientName(parameters[i]?.name ?? ''), gradient));
  }
  return graph;
}

function memoized(make: (name: string) => Value): (name: string) => Value {
  const made = new Map<string, Value>();
  return (name) => {
    const known = made.get(name);
    if (known) return known;
    const value = make(name);
    made.set(name, value);
    return value;
  };
}
