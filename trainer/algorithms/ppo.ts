/**
 * PPO (arXiv 1707.06347, equations 7 and 9) with a value head: generalized advantages (arXiv 1506.02438) over the tokens of a call, whose credit is the reward of its
 * last token. Where credit is by turn values, a call's credit is first made the λ-return over the calls of its rollout. It needs no groups.
 */
import type { AlgorithmOf, CorrectionConfig, CreditConfig } from '../../config/algorithms.ts';
import { generalizedAdvantages } from '../advantage/returns.ts';
import { groupBy } from '../advantage/statistics.ts';
import { whiten } from '../advantage/whiten.ts';
import type { Algorithm, Call } from './algorithm.ts';
import { clipTerm, commonParts, tokenRewards } from './parts.ts';

export function ppo(settings: AlgorithmOf<'ppo'>, correction: CorrectionConfig, credit: CreditConfig): Algorithm {
  const { gamma, lambda, klCost, valueCoefficient, valueClip } = settings;
  return {
    grouped: false,
    rewardsHoldReference: klCost > 0,
    advantages(calls) {
      const credited = credit.name === 'turn-values' ? turnReturns(calls, credit) : calls;
      const estimates = credited.map((call) => generalizedAdvantages(tokenRewards(call, klCost), call.values ?? [], { gamma, lambda }));
      const whitened = settings.whiten ? whiten(estimates.map(({ advantages }) => advantages)) : [];
      return estimates.map(({ advantages, returns }, i) => ({ advantages: whitened[i] ?? advantages, returns }));
    },
    loss: {
      ...commonParts(settings, correction),
      policy: clipTerm(settings, 'token'),
      value: { coefficient: valueCoefficient, ...(valueClip === undefined ? {} : { clip: valueClip }) },
    },
  };
}

/** The λ-return of each call (in the order of its rollout), by the value at its first token: what it can be expected to lead to, given what it did lead to. */
function turnReturns(calls: readonly Call[], options: { readonly gamma: number; readonly lambda: number }): Call[] {
  const credits = new Map<Call, number>();
  for (const own of groupBy(calls, (call) => call.rolloutId).values()) {
    const { returns } = generalizedAdvantages(own.map((call) => call.credit), own.map((call) => call.values?.[0] ?? NaN), options);
    own.forEach((call, i) => credits.set(call, returns[i] ?? NaN));
  }
  return calls.map((call) => ({ ...call, credit: credits.get(call) ?? NaN }));
}
