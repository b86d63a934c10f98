/**
 * REINFORCE++ with a baseline (arXiv 2501.03262, section 3): credit minus the group's mean, then whitened over all tokens of the batch rather than divided by the
 * group's own deviation; the KL to the reference is a term of the loss, as k2.
 */
import type { AlgorithmOf, CorrectionConfig } from '../../config/algorithms.ts';
import { groupAdvantages } from '../advantage/group.ts';
import { whiten } from '../advantage/whiten.ts';
import { type Algorithm, spread } from './algorithm.ts';
import { clipTerm, commonParts } from './parts.ts';

export function reinforcePpBaseline(settings: AlgorithmOf<'reinforce-pp-baseline'>, correction: CorrectionConfig): Algorithm {
  const { group: unit, groupOfOne } = settings;
  return {
    grouped: true,
    advantages(calls) {
      const centred = spread(calls, groupAdvantages(calls, { unit, groupOfOne, scale: 'none', epsilon: 0 }));
      return whiten(centred.map(({ advantages }) => advantages)).map((advantages) => ({ advantages }));
    },
    loss: { ...commonParts(settings, correction), policy: clipTerm(settings, 'token') },
  };
}
