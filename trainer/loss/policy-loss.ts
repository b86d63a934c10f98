/** A policy-gradient loss put together from its parts (spec.ts) in the graph. */
import { add, GraphError, mul, reduceSum, type Value } from '../../model/graph/index.ts';
import type { LossFn, TokenValues } from '../learner.ts';
import { klEstimate, type KlTerm } from './kl.ts';
import { lossTokens, type LossTokens } from './loss-tokens.ts';
import { offPolicyMask } from './off-policy-mask.ts';
import { policyTerm, type PolicyTerm } from './policy-term.ts';
import { policyRatio, type Ratio } from './ratio.ts';
import type { PolicyLossSpec } from './spec.ts';
import { valueLoss, type ValueTerm } from './value.ts';

/**
 * The per-token inputs (`MicroBatch.perToken`) of policy losses, 0 at padding:
 *
 * - `advantage`;  `trained`: 1 for tokens, 0 for padding.
 * - `oldLogprob`: under the policy at the start of the round.  `behaviourLogprob`: as sampled.  `referenceLogprob`: under the reference policy.
 * - `weight`, `klWeight`, `entropyWeight`, `valueWeight`, `importanceWeight`: from `weighTokens`.
 * - `oldValue`, `return`: the value head's prediction at the start of the round, and its target.
 */
export type LossInput =
  | 'advantage' | 'trained' | 'oldLogprob' | 'behaviourLogprob' | 'referenceLogprob'
  | 'weight' | 'klWeight' | 'entropyWeight' | 'valueWeight' | 'importanceWeight'
  | 'oldValue' | 'return';

/** What `policyLoss(spec)` asks for. Sequence-level ratios and off-policy masks also need `MicroBatch.sequences`. */
export function lossInputs(spec: PolicyLossSpec): LossInput[] {
  const { policy, kl, entropy, value, importance, offPolicyMask: threshold } = spec;
  const ratio = ratioOf(spec);
  const asked: Record<LossInput, boolean> = {
    advantage: policy !== null,
    trained: threshold !== undefined || (ratio !== null && ratio.level !== 'token'),
    oldLogprob: ratio?.old === 'given',
    behaviourLogprob: threshold !== undefined,
    referenceLogprob: kl !== undefined,
    weight: true,
    klWeight: kl?.aggregation !== undefined,
    entropyWeight: entropy?.aggregation !== undefined,
    valueWeight: value?.aggregation !== undefined,
    importanceWeight: importance !== undefined,
    oldValue: value?.clip !== undefined,
    return: value !== undefined,
  };
  return (Object.keys(asked) as LossInput[]).filter((input) => asked[input]); // its keys are those of its type
}

/** A term of the loss: `[M]`, 0 at tokens that do not count, and the input that weighs it. */
interface Part {
  readonly perToken: Value;
  readonly weight: LossInput;
}

/**
 * The loss that spec.ts writes out. Its `perToken` is all that `weight` multiplies: terms with an aggregation of their own are not in it.
 * @throws GraphError on parts that do not go together
 */
export function policyLoss(spec: PolicyLossSpec): LossFn {
  requireConsistent(spec);
  return (values) => {
    const parts = partsOf(spec, values);
    const loss = parts.map(({ perToken, weight }) => reduceSum(mul(perToken, values.perToken(weight)))).reduce((sum, term) => add(sum, term));
    const shared = parts.filter(({ weight }) => weight === 'weight').map(({ perToken }) => perToken);
    return shared.length === 0 ? { loss } : { loss, perToken: shared.reduce((sum, term) => add(sum, term)) };
  };
}

function partsOf(spec: PolicyLossSpec, values: TokenValues): Part[] {
  const { policy, kl, entropy, value } = spec;
  const tokens = lossTokens(values);
  const { counted } = tokens;
  const ratioSpec = ratioOf(spec);
  const ratio = ratioSpec && policyRatio(ratioSpec, tokens);
  const parts: Part[] = [];
  if (policy) parts.push({ perToken: counted(policyPart(policy, spec, tokens, ratio)), weight: 'weight' });
  if (kl) parts.push({ perToken: counted(mul(klPart(kl, tokens, ratio), kl.coefficient)), weight: kl.aggregation ? 'klWeight' : 'weight' });
  if (entropy) parts.push({ perToken: mul(counted(values.entropy), -entropy.coefficient), weight: entropy.aggregation ? 'entropyWeight' : 'weight' });
  if (value) parts.push({ perToken: mul(valuePart(value, values, tokens), value.coefficient), weight: value.aggregation ? 'valueWeight' : 'weight' });
  return parts;
}

function policyPart(term: PolicyTerm, { importance, offPolicyMask: threshold }: PolicyLossSpec, tokens: LossTokens, ratio: Value | null): Value {
  const advantage = tokens.counted(tokens.perToken('advantage'));
  let loss = policyTerm(term, tokens.counted(tokens.logprob), advantage, ratio);
  if (threshold !== undefined) loss = mul(loss, offPolicyMask(threshold, tokens, advantage));
  return importance ? mul(loss, tokens.perToken('importanceWeight')) : loss;
}

function klPart(kl: KlTerm, { counted, logprob, perToken }: LossTokens, ratio: Value | null): Value {
  const estimate = klEstimate(kl, counted(logprob), counted(perToken('referenceLogprob')));
  return kl.importanceCorrected === true && ratio ? mul(estimate, ratio) : estimate;
}

function valuePart({ clip }: ValueTerm, { value }: TokenValues, { counted, perToken }: LossTokens): Value {
  if (!value) throw new GraphError('the loss has a value term, and the learner no value head');
  return counted(valueLoss(counted(value), counted(perToken('return')), clip === undefined ? null : { range: clip, oldValue: counted(perToken('oldValue')) }));
}

function ratioOf({ policy }: PolicyLossSpec): Ratio | null {
  return policy && policy.type !== 'reinforce' ? policy.ratio : null;
}

/** A part that could have no effect is a mistake. */
function requireConsistent(spec: PolicyLossSpec): void {
  const { policy, kl, entropy, value, importance, offPolicyMask: threshold } = spec;
  if (!policy && !kl && !entropy && !value) throw new GraphError('a policy loss needs at least one term');
  if (!policy && (importance || threshold !== undefined)) throw new GraphError('importance weights and off-policy masks act on the policy term, and there is none');
  if (kl?.importanceCorrected === true && !ratioOf(spec)) throw new GraphError('an importance-corrected KL takes the ratio of the clip or cispo term, and there is none');
}
