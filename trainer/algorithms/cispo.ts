/**
 * CISPO (MiniMax-M1, arXiv 2506.13585, equations 4 and 5): REINFORCE with a bounded, constant ratio as its weight, so that rare tokens, whose ratio a clip would
 * cut off, still teach.
 */
import type { AlgorithmOf, CorrectionConfig } from '../../config/algorithms.ts';
import { groupAdvantages } from '../advantage/group.ts';
import { type Algorithm, spread } from './algorithm.ts';
import { commonParts, groupOptions, ratioOf } from './parts.ts';

export function cispo(settings: AlgorithmOf<'cispo'>, correction: CorrectionConfig): Algorithm {
  const { ratioMin, ratioMax } = settings;
  return {
    grouped: true,
    advantages: (calls) => spread(calls, groupAdvantages(calls, groupOptions(settings))),
    loss: {
      ...commonParts(settings, correction),
      policy: { type: 'cispo', ratio: ratioOf(settings, 'token'), ratioMax, ...(ratioMin === undefined ? {} : { ratioMin }) },
    },
  };
}
