/**
 * RLOO, REINFORCE leave-one-out (arXiv 2402.14740, equation 7): −Â_i · log π(call), Â_i the rollout's return minus the mean of the others', and the KL to the
 * reference a cost in the return (equation 1). Libraries put a clipped ratio in its place: of each token, or of the whole call.
 */
import type { AlgorithmOf, CorrectionConfig } from '../../config/algorithms.ts';
import { leaveOneOutAdvantages } from '../advantage/leave-one-out.ts';
import { groupBy } from '../advantage/statistics.ts';
import { withKlCost } from '../advantage/token-rewards.ts';
import type { PolicyTerm } from '../loss/policy-term.ts';
import { type Algorithm, type Call, spread } from './algorithm.ts';
import { clipTerm, commonParts } from './parts.ts';

export function rloo(settings: AlgorithmOf<'rloo'>, correction: CorrectionConfig): Algorithm {
  const { groupOfOne, normalize, klCost } = settings;
  return {
    grouped: true,
    rewardsHoldReference: klCost > 0,
    advantages: (calls) => spread(calls, leaveOneOutAdvantages(klCost > 0 ? charged(calls, klCost) : calls, { groupOfOne, normalize })),
    loss: { ...commonParts(settings, correction), policy: policyOf(settings) },
  };
}

function policyOf(settings: AlgorithmOf<'rloo'>): PolicyTerm {
  const { ratio, clipLow = 0.2, clipHigh = 0.2, logRatioClamp } = settings;
  return ratio === 'none' ? { type: 'reinforce' } : clipTerm({ clipLow, clipHigh, logRatioClamp }, ratio === 'sequence' ? 'sequence-sum' : 'token');
}

/** Each call's credit less its whole rollout's KL cost. */
function charged(calls: readonly Call[], klCost: number): Call[] {
  const costs = new Map([...groupBy(calls, (call) => call.rolloutId)].map(([rolloutId, own]) => [rolloutId, own.reduce((sum, call) => sum + costOf(call, klCost), 0)]));
  return calls.map((call) => ({ ...call, credit: call.credit + (costs.get(call.rolloutId) ?? NaN) }));
}

function costOf({ tokens, oldLogprobs, referenceLogprobs = [] }: Call, klCost: number): number {
  return withKlCost(new Float64Array(tokens), oldLogprobs, referenceLogprobs, klCost).reduce((sum, reward) => sum + reward, 0);
}
