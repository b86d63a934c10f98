/** The parts of a loss that several algorithms have, from their settings. */
import type { CorrectionConfig } from '../../config/algorithms.ts';
import type { GroupOptions } from '../advantage/group.ts';
import { rewardAtEnd, withKlCost } from '../advantage/token-rewards.ts';
import type { Aggregation } from '../loss/aggregation.ts';
import type { KlTerm } from '../loss/kl.ts';
import type { Clip } from '../loss/policy-term.ts';
import type { Ratio } from '../loss/ratio.ts';
import type { Rejection } from '../loss/rejection.ts';
import type { PolicyLossSpec } from '../loss/spec.ts';
import type { Call } from './algorithm.ts';

export interface LossSettings {
  readonly aggregation: Aggregation['mode'];
  readonly normalizer?: number | undefined;
  readonly denominator: 'counted' | 'all';
  readonly klCoefficient: number;
  readonly klEstimator: KlTerm['estimator'];
  readonly klValueClamp?: number | undefined;
  readonly klImportanceCorrected: boolean;
  readonly entropyCoefficient: number;
  readonly logRatioClamp: number;
  readonly dropTruncated: boolean;
}

/** All but the policy term, with the trainer's off-policy corrections. The entropy bonus is a mean over tokens (arXiv 1707.06347, equation 9). */
export function commonParts(settings: LossSettings, correction: CorrectionConfig): Omit<PolicyLossSpec, 'policy'> {
  const { importance, rejection, offPolicyMask } = correction;
  return {
    aggregation: aggregationOf(settings),
    ...(settings.klCoefficient > 0 ? { kl: klTerm(settings) } : {}),
    ...(settings.entropyCoefficient > 0 ? { entropy: { coefficient: settings.entropyCoefficient, aggregation: { mode: 'token-mean' } } } : {}),
    ...(settings.dropTruncated ? { dropTruncated: true } : {}),
    ...(importance ? { importance: { ...given(importance), logRatioClamp: settings.logRatioClamp } } : {}),
    ...(rejection ? { rejection: rejectionOf(rejection) } : {}),
    ...(offPolicyMask === undefined ? {} : { offPolicyMask }),
  };
}

export interface ClipSettings {
  readonly clipLow: number;
  readonly clipHigh: number;
  readonly dualClip?: number | undefined;
  readonly ratioMax?: number | undefined;
}

/** The clipped ratio of `level`. */
export function clipTerm(settings: ClipSettings & { readonly logRatioClamp: number }, level: Ratio['level']): Clip {
  const { clipLow, clipHigh, dualClip, ratioMax } = settings;
  return { type: 'clip', ratio: ratioOf(settings, level), ...given({ clipLow, clipHigh, dualClip, ratioMax }) };
}

export function ratioOf({ logRatioClamp }: { readonly logRatioClamp: number }, level: Ratio['level']): Ratio {
  return { old: 'given', level, logClamp: logRatioClamp };
}

export interface GroupSettings {
  readonly group: GroupOptions['unit'];
  readonly groupOfOne: GroupOptions['groupOfOne'];
  readonly normalizeByStd: boolean;
  readonly deviation?: Exclude<GroupOptions['scale'], 'none'> | undefined;
  readonly epsilon: number;
}

export function groupOptions({ group, groupOfOne, normalizeByStd, deviation = 'group', epsilon }: GroupSettings): GroupOptions {
  return { unit: group, groupOfOne, scale: normalizeByStd ? deviation : 'none', epsilon };
}

function aggregationOf({ aggregation: mode, normalizer, denominator }: LossSettings): Aggregation {
  if (mode === 'token-mean') return { mode, ...given({ normalizer }) };
  if (mode === 'per-rollout-mean') return { mode, denominator: denominator === 'all' ? 'sequences' : 'rollouts' };
  const sequences = denominator === 'all' ? 'all' : 'nonempty';
  return mode === 'seq-mean-token-sum' ? { mode, sequences, ...given({ normalizer }) } : { mode, sequences };
}

function klTerm({ klEstimator: estimator, klCoefficient: coefficient, klImportanceCorrected: importanceCorrected, klValueClamp: valueClamp, logRatioClamp }: LossSettings): KlTerm {
  if (estimator === 'k3' || estimator === 'k3+') return { estimator, coefficient, importanceCorrected, logRatioClamp, ...given({ valueClamp }) };
  return { estimator, coefficient, importanceCorrected };
}

function rejectionOf({ level, statistic, min = 0, max }: NonNullable<CorrectionConfig['rejection']>): Rejection {
  return statistic === 'k1' ? { level, statistic, min, max } : { level, statistic, max };
}

type Given<T> = { [Key in keyof T as undefined extends T[Key] ? never : Key]: T[Key] } & { [Key in keyof T as undefined extends T[Key] ? Key : never]?: Exclude<T[Key], undefined> };

/** Without the keys whose value is undefined: an absent setting is an absent part. */
function given<T extends object>(settings: T): Given<T> {
  // Keys that are left out are exactly those that `Given` says may be absent.
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)) as Given<T>;
}

/** The rewards of a call's tokens: its credit at the last one, and the KL to the reference as a cost of each. */
export function tokenRewards({ tokens, credit, oldLogprobs, referenceLogprobs = [] }: Call, klCost: number): Float64Array {
  const rewards = rewardAtEnd(tokens, credit);
  return klCost > 0 ? withKlCost(rewards, oldLogprobs, referenceLogprobs, klCost) : rewards;
}
