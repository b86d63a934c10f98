/** Runs stored batches (`inputs.<batch>.safetensors` and its like) through the graph of a loss: every position of `[B, T]` is an entry of M, the masked ones are padding. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { encodeModel, gradients, Graph, reshape, segmentTotal, tokenDistribution, type Value } from '../../../model/graph/index.ts';
import type { SafetensorsFile } from '../../../model/weights/safetensors.ts';
import type { LossFn, TokenValues } from '../../../trainer/learner.ts';
import { lossInputs, policyLoss, type LossInput } from '../../../trainer/loss/policy-loss.ts';
import type { PolicyLossSpec } from '../../../trainer/loss/spec.ts';
import { weighTokens, type LossSequence, type TokenWeights } from '../../../trainer/loss/weigh-tokens.ts';

export interface LossResult {
  readonly loss: number;
  /** With respect to what was given: log-probs, logits or values. */
  readonly gradient: Float32Array;
  /** `[B·T]` before weighting. */
  readonly perToken: Float32Array;
}

/** On given log-probs: the gradient is d loss / d logp_new, `[B·T]`. */
export function runPolicyLoss(spec: PolicyLossSpec, data: SafetensorsFile): Promise<LossResult> {
  const size = data.read('mask').data.length;
  return run(spec, data, 'logp_new', [size], (graph, logprob) => ({ logprob, entropy: graph.constant(new Float32Array(size).fill(NaN), [size]) }));
}

/** On given logits `[B, T, V]`: TRL's GRPO loss − coefficient · mean entropy; the gradient is d loss / d logits. */
export function runEntropyBonus(coefficient: number, data: SafetensorsFile): Promise<LossResult> {
  const spec: PolicyLossSpec = {
    policy: { type: 'clip', clipLow: 0.2, clipHigh: 0.2, ratio: { level: 'token', old: 'given' } },
    aggregation: { mode: 'seq-mean-token-mean', sequences: 'all' },
    entropy: { coefficient, aggregation: { mode: 'token-mean' } },
  };
  const [rows = 0, time = 0, vocabulary = 0] = data.shape('logits');
  const size = rows * time;
  return run(spec, data, 'logits', [size, vocabulary], (graph, logits) =>
    tokenDistribution(logits, identity(graph, vocabulary), graph.constant(data.readInts('tokens'), [size]), graph.constant(new Float32Array(size).fill(1), [size])));
}

/** As the weight of a head: its logits are then its input. */
const identity = (graph: Graph, size: number): Value => graph.constant(Float32Array.from({ length: size * size }, (_, i) => Number(i % (size + 1) === 0)), [size, size]);

/** On given predictions: the gradient is d loss / d vpreds, `[B·T]`. */
export function runValueLoss(spec: PolicyLossSpec, data: SafetensorsFile): Promise<LossResult> {
  return run(spec, data, 'vpreds', [data.read('mask').data.length], (_, value) => ({ value, logprob: value, entropy: value }));
}

/** @param input the tensor that the gradient is taken of, `shape`  @param values what the loss reads, made of it */
async function run(spec: PolicyLossSpec, data: SafetensorsFile, input: string, shape: readonly number[], values: (graph: Graph, input: Value) => Pick<TokenValues, 'logprob' | 'entropy' | 'value'>): Promise<LossResult> {
  const { inputs, rows } = lossFeeds(spec, data);
  const size = rows.length;
  const graph = new Graph();
  const parameter = graph.input(input, 'float32', shape);
  const sequences = graph.constant(rows, [size]);
  const asked = new Map<string, Value>();
  const perToken = (name: string): Value => {
    const value = asked.get(name) ?? graph.input(name, 'float32', [size]);
    asked.set(name, value);
    return value;
  };
  const built = policyLoss(spec)({ graph, perToken, sequenceSum: (x) => segmentTotal(x, sequences), ...values(graph, parameter) });
  requireAsSaid(lossInputs(spec), [...asked.keys()]);
  output(graph, built, parameter);

  const session = await InferenceSession.create(encodeModel(graph), { intraOpNumThreads: 1 });
  const feeds = [...asked.keys()].map((name) => [name, new Tensor('float32', inputs.get(name) ?? new Float32Array(), [size])] as const);
  const results = await session.run(Object.fromEntries([[input, new Tensor('float32', data.read(input).data, shape)], ...feeds]));
  const floats = (name: string): Float32Array => {
    const result = results[name]?.data;
    if (!(result instanceof Float32Array)) throw new Error(`the graph gave no ${name}`);
    return result.slice(); // the session owns the memory
  };
  const result = { loss: floats('loss')[0] ?? NaN, gradient: floats('gradient'), perToken: floats('perToken') };
  await session.release();
  return result;
}

function output(graph: Graph, { loss, perToken }: ReturnType<LossFn>, parameter: Value): void {
  const [gradient] = gradients(loss, [parameter]);
  if (!gradient || !perToken) throw new Error('the loss has no gradient or no token losses');
  graph.output('loss', loss);
  graph.output('gradient', reshape(gradient, [-1]));
  graph.output('perToken', perToken);
}

function requireAsSaid(said: readonly string[], asked: readonly string[]): void {
  if (said.toSorted().join() !== asked.toSorted().join()) throw new Error(`the loss asks for ${asked.join()}, and says it would for ${said.join()}`);
}

/** The per-token inputs of the loss by name, `[B·T]` each, and the number of each position's row, which is its sequence. */
export function lossFeeds(spec: PolicyLossSpec, data: SafetensorsFile): { readonly inputs: ReadonlyMap<string, Float32Array>; readonly rows: Int32Array } {
  const mask = data.read('mask').data;
  const [, time = 0] = data.shape('mask');
  const rows = Int32Array.from(mask, (_, i) => Math.floor(i / time));
  const column = (name: string): Float32Array => (data.has(name) ? data.read(name).data : new Float32Array(mask.length).fill(NaN));
  const perRow = column('advantages');
  const weights = spread(weighTokens(spec, sequencesOf(data, rows)), mask, rows);
  const every: Record<LossInput, () => Float32Array> = {
    advantage: () => (perRow.length === mask.length ? perRow : mask.map((_, i) => perRow[rows[i] ?? 0] ?? NaN)),
    trained: () => mask, oldLogprob: () => column('logp_old'), behaviourLogprob: () => column('logp_behaviour'), referenceLogprob: () => column('logp_ref'),
    weight: () => weights('weight'), klWeight: () => weights('klWeight'), entropyWeight: () => weights('entropyWeight'),
    valueWeight: () => weights('valueWeight'), importanceWeight: () => weights('importanceWeight'),
    oldValue: () => column('values_old'), return: () => column('returns'),
  };
  return { inputs: new Map(lossInputs(spec).map((name) => [name, every[name]()])), rows };
}

/** Every row as a sequence of its unmasked tokens. */
function sequencesOf(data: SafetensorsFile, rows: Int32Array): LossSequence[] {
  const mask = data.read('mask').data;
  const [count = 0] = data.shape('mask');
  const rolloutIds = data.has('rollout_id') ? data.readInts('rollout_id') : null;
  const truncated = data.has('truncated') ? data.read('truncated').data : null;
  const [old, behaviour] = ['logp_old', 'logp_behaviour'].map((name) => (data.has(name) ? data.read(name).data : null));
  return Array.from({ length: count }, (_, row) => {
    const at = [...rows.keys()].filter((i) => rows[i] === row && mask[i] === 1);
    return {
      rolloutId: String(rolloutIds?.[row] ?? row), tokens: at.length, truncated: truncated?.[row] === 1,
      oldLogprobs: at.map((i) => old?.[i] ?? NaN), behaviourLogprobs: at.map((i) => behaviour?.[i] ?? NaN),
    };
  });
}

/** Weights of the tokens by sequence, laid out like the mask, 0 where it is. */
function spread(weights: readonly TokenWeights[], mask: Float32Array, rows: Int32Array): (name: keyof TokenWeights) => Float32Array {
  return (name) => {
    const next = new Int32Array(weights.length);
    return mask.map((trained, i) => {
      const row = rows[i] ?? 0;
      if (trained === 0) return 0;
      const token = next[row] ?? 0;
      next[row] = token + 1;
      return weights[row]?.[name][token] ?? NaN;
    });
  };
}
