/** What a loss needs of a distribution over the vocabulary, without ever holding the logits of all tokens. */
import { apply, node1, type Op } from '../op.ts';
import { dimOf, type Value } from '../value.ts';
import { add, exp, mul, neg, sub } from './elementwise.ts';
import { gemm } from './matmul.ts';
import { notBefore } from './not-before.ts';
import { joinParts, partOf, partsOf } from './part.ts';
import { gather } from './gather.ts';
import { reduceSum } from './reduce.ts';

/** Rows are taken in so many parts: the logits of one part are in memory at a time. */
const PARTS = partsOf(4);

type Inputs = readonly [x: Value, weight: Value, targets: Value, inverseTemperature: Value];
/** logprob, entropy; and Σ_v p_v W_v and Σ_v p_v log p_v W_v, which the gradient of x is made of. */
type Outputs = readonly [Value, Value, Value, Value];

const unsqueeze = (x: Value): Value => node1('Unsqueeze', [x, x.graph.integers(1)], { dtype: x.dtype, shape: [...x.shape, 1] });
const squeeze = (x: Value): Value => node1('Squeeze', [x, x.graph.integers(1)], { dtype: x.dtype, shape: x.shape.slice(0, 1) });
const logSoftmax = (x: Value, weight: Value): Value => {
  const logits = gemm(x, weight, { transB: true });
  return node1('LogSoftmax', [logits], logits, { axis: -1 });
};

const tokenDistributionOp: Op<Inputs, Outputs> = {
  name: 'TokenDistribution',
  emit: ([x, weight, targets, inverseTemperature]) => {
    const tempered = mul(x, unsqueeze(inverseTemperature));
    let previous: readonly Value[] = [];
    const parts = PARTS.map((part) => {
      const all = logSoftmax(notBefore(partOf(tempered, 0, part), ...previous), weight);
      const p = exp(all);
      const weighted = mul(p, all);
      const target = node1('GatherElements', [all, unsqueeze(partOf(targets, 0, part))], { dtype: 'float32', shape: [dimOf(all, 0), 1] }, { axis: 1 });
      const outputs: Outputs = [squeeze(target), neg(reduceSum(weighted, [1])), gemm(p, weight), gemm(weighted, weight)];
      previous = outputs;
      return outputs;
    });
    const joined = (output: 0 | 1 | 2 | 3, whole: Value): Value => joinParts(parts.map((outputs) => outputs[output]), 0, whole);
    return [joined(0, inverseTemperature), joined(1, inverseTemperature), joined(2, x), joined(3, x)];
  },
  // With z = W x/temperature: d logprob/dz = onehot(target) − p and dH/dz = −p·(log p + H), of which only two sums over the vocabulary are needed for x.
  gradient: ({ inputs: [x, weight, targets, inverseTemperature], outputs: [, entropy, meanWeight, meanLogWeight], upstream: [dLogprob, dEntropy] }) => {
    const upstream = dLogprob ?? dEntropy;
    if (!upstream) return [null, null, null, null];
    const parts: Value[] = [];
    if (dLogprob) parts.push(mul(unsqueeze(dLogprob), sub(gather(weight, targets), meanWeight)));
    if (dEntropy) parts.push(neg(mul(unsqueeze(dEntropy), add(meanLogWeight, mul(unsqueeze(entropy), meanWeight)))));
    const dx = mul(parts.reduce((a, b) => add(a, b)), unsqueeze(inverseTemperature));
    return [dx, weightGradient(x, weight, targets, inverseTemperature, entropy, dLogprob, dEntropy), null, null];
  },
};

/** Σ over tokens of dz xᵀ/temperature, the distributions computed again part by part. */
function weightGradient(x: Value, weight: Value, targets: Value, inverseTemperature: Value, entropy: Value, dLogprob: Value | null, dEntropy: Value | null): Value {
  const tempered = mul(notBefore(x, ...[dLogprob, dEntropy].flatMap((g) => g ?? [])), unsqueeze(inverseTemperature));
  return PARTS.reduce<Value | null>((total, part) => {
    const rows = (value: Value): Value => unsqueeze(partOf(value, 0, part));
    const own = partOf(tempered, 0, part);
    const all = logSoftmax(total ? notBefore(own, total) : own, weight);
    const ofTarget = dLogprob && rows(dLogprob);
    const ofEntropy = dEntropy && mul(rows(dEntropy), add(all, rows(entropy)));
    const smooth = mul(exp(all), neg(ofTarget && ofEntropy ? add(ofTarget, ofEntropy) : ofTarget ?? ofEntropy ?? all));
    const dz = ofTarget ? node1('ScatterElements', [smooth, rows(targets), ofTarget], smooth, { axis: 1, reduction: 'add' }) : smooth;
    const product = gemm(dz, own, { transA: true });
    return total ? node1('Sum', [product, total], total) : product;
  }, null) ?? weight;
}

/**
 * Of softmax(x Wᵀ · inverseTemperature): x `[M, width]`, weight `[vocabulary, width]`, targets (integers) `[M]`, inverseTemperature `[M]` → natural log-prob of
 * the target and entropy in nats, both `[M]`.
 */
export function tokenDistribution(x: Value, weight: Value, targets: Value, inverseTemperature: Value): { readonly logprob: Value; readonly entropy: Value } {
  const [logprob, entropy] = apply(tokenDistributionOp, [x, weight, targets, inverseTemperature], undefined);
  return { logprob, entropy };
}
