/** Runs the batches of stored loss cases (test/fixtures/golden/losses) through a loss's graph. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { encodeModel, gradients, Graph, segmentTotal, type Value } from '../../../model/graph/index.ts';
import type { SafetensorsFile } from '../../../model/weights/safetensors.ts';
import { lossInputs, policyLoss, type LossInput } from '../../../trainer/loss/policy-loss.ts';
import type { PolicyLossSpec } from '../../../trainer/loss/spec.ts';
import { weighTokens, type LossSequence } from '../../../trainer/loss/weigh-tokens.ts';

export interface LossResult {
  readonly loss: number;
  /** d loss / d logp_new, `[B·T]`. */
  readonly gradient: Float32Array;
  /** `[B·T]`. */
  readonly perToken: Float32Array;
}

/** Runs a stored batch (`inputs.<batch>.safetensors`): every position of `[B, T]` is an entry of M, the masked ones are padding. */
export async function runStored(spec: PolicyLossSpec, data: SafetensorsFile): Promise<LossResult> {
  const { feeds, sequences } = storedFeeds(spec, data);
  const size = sequences.length;
  const graph = new Graph();
  const logprob = graph.input('logprob', 'float32', [size]);
  const segments = graph.constant(sequences, [size]);
  const asked = new Set<string>();
  const perToken = memoized((name) => { asked.add(name); return graph.input(name, 'float32', [size]); });
  const built = policyLoss(spec)({ graph, logprob, entropy: graph.constant(new Float32Array(size).fill(NaN), [size]), perToken, sequenceSum: (x) => segmentTotal(x, segments) });
  for (const name of lossInputs(spec)) if (!asked.delete(name)) throw new Error(`${name} is said to be needed and is not`);
  if (asked.size > 0) throw new Error(`${[...asked].join()} is needed and not said`);
  const [gradient] = gradients(built.loss, [logprob]);
  if (!gradient || !built.perToken) throw new Error('no gradient or token losses');
  const out = await runGraph(graph, { loss: built.loss, gradient, perToken: built.perToken }, { logprob: data.read('logp_new').data, ...feeds });
  return { loss: out['loss']?.[0] ?? NaN, gradient: out['gradient'] ?? new Float32Array(), perToken: out['perToken'] ?? new Float32Array() };
}

/** The inputs of the loss, `[B·T]` each, and the number of each position's row, which is its sequence. */
export function storedFeeds(spec: PolicyLossSpec, data: SafetensorsFile): { feeds: Record<string, Float32Array>; sequences: Int32Array } {
  const mask = data.read('mask').data;
  const [rows = 0, time = 0] = data.shape('mask');
  const rowOf = (i: number): number => Math.floor(i / time);
  const advantages = data.read('advantages').data;
  const rolloutIds = data.has('rollout_id') ? data.readInts('rollout_id') : null;
  const truncated = data.has('truncated') ? data.read('truncated').data : null;
  const trainedAt = Array.from({ length: rows }, (_, row) => Array.from({ length: time }, (_t, t) => row * time + t).filter((i) => mask[i] === 1));
  const column = (name: string): Float32Array => (data.has(name) ? data.read(name).data : new Float32Array(mask.length).fill(NaN));
  const old = column('logp_old'), behaviour = column('logp_behaviour');
  const weights = weighTokens(spec, trainedAt.map((at, row): LossSequence => ({
    rolloutId: String(rolloutIds?.[row] ?? row), tokens: at.length, truncated: truncated?.[row] === 1,
    oldLogprobs: at.map((i) => old[i] ?? NaN), behaviourLogprobs: at.map((i) => behaviour[i] ?? NaN),
  })));
  const spread = (name: keyof (typeof weights)[number]): Float32Array => {
    const out = new Float32Array(mask.length);
    for (const [row, at] of trainedAt.entries()) for (const [t, i] of at.entries()) out[i] = weights[row]?.[name][t] ?? NaN;
    return out;
  };
  const every: Partial<Record<LossInput, () => Float32Array>> = {
    advantage: () => (advantages.length === mask.length ? advantages : mask.map((_, i) => advantages[rowOf(i)] ?? NaN)),
    trained: () => mask, oldLogprob: () => old, behaviourLogprob: () => behaviour, referenceLogprob: () => column('logp_ref'),
    weight: () => spread('weight'), klWeight: () => spread('klWeight'), entropyWeight: () => spread('entropyWeight'), importanceWeight: () => spread('importanceWeight'),
  };
  const feeds = Object.fromEntries(lossInputs(spec).map((name) => [name, every[name]?.() ?? new Float32Array(mask.length).fill(NaN)]));
  return { feeds, sequences: Int32Array.from(mask, (_, i) => rowOf(i)) };
}

/** Runs a graph once on vectors or tensors of the inputs' own shapes. */
export async function runGraph(graph: Graph, outputs: Readonly<Record<string, Value>>, feeds: Readonly<Record<string, Float32Array>>): Promise<Record<string, Float32Array>> {
  for (const [name, value] of Object.entries(outputs)) graph.output(name, value);
  const session = await InferenceSession.create(encodeModel(graph), { intraOpNumThreads: 1 });
  const out = await session.run(Object.fromEntries(graph.inputs.filter(({ name }) => session.inputNames.includes(name)).map(({ name, shape }) => [name, new Tensor('float32', feeds[name] ?? new Float32Array(), shape.map(Number))])));
  await session.release();
  return Object.fromEntries(Object.entries(out).map(([name, { data }]) => [name, data as Float32Array])); // all values of these graphs are float32
}

export function memoized(make: (name: string) => Value): (name: string) => Value {
  const made = new Map<string, Value>();
  return (name) => {
    const value = made.get(name) ?? make(name);
    made.set(name, value);
    return value;
  };
}

