/**
 * Dr. GRPO (arXiv 2503.20783, section 3.1): Â_i = r_i − mean(r), and the sum over a completion's tokens, divided by a constant if any: GRPO's
 * division by the deviation favours tasks that are nearly solved or hopeless, its division by length favours long wrong answers.
 */
import type { AlgorithmOf, CorrectionConfig } from '../../config/algorithms.ts';
import { groupAdvantages } from '../advantage/group.ts';
import { type Algorithm, spread } from './algorithm.ts';
import { clipTerm, commonParts } from './parts.ts';

export function drGrpo(settings: AlgorithmOf<'dr-grpo'>, correction: CorrectionConfig): Algorithm {
  const { group: unit, groupOfOne } = settings;
  return {
    grouped: true,
    advantages: (calls) => spread(calls, groupAdvantages(calls, { unit, groupOfOne, scale: 'none', epsilon: 0 })),
    loss: { ...commonParts(settings, correction), policy: clipTerm(settings, 'token') },
  };
}
