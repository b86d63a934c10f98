/** What a loss needs of a distribution over the vocabulary, without a one-hot matrix. */
import { apply, node1, type Op } from '../op.ts';
import { dimOf, type Value } from '../value.ts';
import { add, exp, mul, neg } from './elementwise.ts';
import { reduceSum } from './reduce.ts';

const unsqueeze = (x: Value): Value => node1('Unsqueeze', [x, x.graph.integers(1)], { dtype: x.dtype, shape: [...x.shape, 1] });
const squeeze = (x: Value): Value => node1('Squeeze', [x, x.graph.integers(1)], { dtype: x.dtype, shape: x.shape.slice(0, 1) });

/** Outputs: log-prob of the target, entropy H, and log p of the whole vocabulary, kept for the gradient. */
const tokenDistributionOp: Op<readonly [Value, Value, Value], readonly [Value, Value, Value]> = {
  name: 'TokenDistribution',
  emit: ([logits, targets, inverseTemperature]) => {
    const all = node1('LogSoftmax', [mul(logits, unsqueeze(inverseTemperature))], logits, { axis: -1 });
    const target = node1('GatherElements', [all, unsqueeze(targets)], { dtype: 'float32', shape: [dimOf(logits, 0), 1] }, { axis: 1 });
    return [squeeze(target), neg(reduceSum(mul(exp(all), all), [1])), all];
  },
  // With z = logits/temperature: d logprob/dz = onehot(target) − p, dH/dz = −p·(log p + H).
  gradient: ({ inputs: [, targets, inverseTemperature], outputs: [, entropy, all], upstream: [dLogprob, dEntropy] }) => {
    const parts: Value[] = [];
    if (dLogprob) parts.push(unsqueeze(dLogprob));
    if (dEntropy) parts.push(mul(unsqueeze(dEntropy), add(all, unsqueeze(entropy))));
    const [first, second] = parts;
    if (!first) return [null, null, null];
    const smooth = mul(exp(all), neg(second ? add(first, second) : first));
    const dz = dLogprob ? node1('ScatterElements', [smooth, unsqueeze(targets), unsqueeze(dLogprob)], smooth, { axis: 1, reduction: 'add' }) : smooth;
    return [mul(dz, unsqueeze(inverseTemperature)), null, null];
  },
};

/**
 * logits `[M, vocabulary]`, targets (integers) `[M]`, inverseTemperature `[M]` → natural log-prob of the target and entropy in nats,
 * both `[M]`, of softmax(logits · inverseTemperature).
 */
export function tokenDistribution(logits: Value, targets: Value, inverseTemperature: Value): { readonly logprob: Value; readonly entropy: Value } {
  const [logprob, entropy] = apply(tokenDistributionOp, [logits, targets, inverseTemperature], undefined);
  return { logprob, entropy };
}

