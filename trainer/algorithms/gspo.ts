/**
 * GSPO, group sequence policy optimization (arXiv 2507.18071, equations 5 to 7): the ratio, and so the clip, is a whole call's, the geometric mean of its
 * tokens' ratios: rewards are given to sequences, so their probabilities are what is compared.
 */
import type { AlgorithmOf, CorrectionConfig } from '../../config/algorithms.ts';
import { groupAdvantages } from '../advantage/group.ts';
import { type Algorithm, spread } from './algorithm.ts';
import { clipTerm, commonParts, groupOptions } from './parts.ts';

export function gspo(settings: AlgorithmOf<'gspo'>, correction: CorrectionConfig): Algorithm {
  return {
    grouped: true,
    advantages: (calls) => spread(calls, groupAdvantages(calls, groupOptions(settings))),
    loss: { ...commonParts(settings, correction), policy: clipTerm(settings, 'sequence') },
  };
}
