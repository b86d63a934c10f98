/**
 * GRPO, group-relative policy optimization: equation 3 of DeepSeekMath (arXiv 2402.03300), which is PPO's clipped surrogate with a KL term in
 * the loss, and Â_i = (r_i − mean(r)) / std(r) over the rollouts of a task instead of a value function (section 4.1.2).
 */
import type { AlgorithmOf, CorrectionConfig } from '../../config/algorithms.ts';
import { groupAdvantages } from '../advantage/group.ts';
import { type Algorithm, spread } from './algorithm.ts';
import { clipTerm, commonParts, groupOptions } from './parts.ts';

export function grpo(settings: AlgorithmOf<'grpo'>, correction: CorrectionConfig): Algorithm {
  return {
    grouped: true,
    advantages: (calls) => spread(calls, groupAdvantages(calls, groupOptions(settings))),
    loss: { ...commonParts(settings, correction), policy: clipTerm(settings, 'token') },
  };
}
