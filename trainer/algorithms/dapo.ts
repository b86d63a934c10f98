/**
 * DAPO (arXiv 2503.14476, equation 8): GRPO with a higher upper clip (section 3.1), only groups that teach (dynamic sampling, section 3.2), the mean over
 * tokens (section 3.3), and overlong calls left out or punished softly (section 3.4).
 */
import type { AlgorithmOf, CorrectionConfig } from '../../config/algorithms.ts';
import { groupAdvantages } from '../advantage/group.ts';
import { overlongPunishment } from '../credit/overlong.ts';
import { type Algorithm, type Call, spread } from './algorithm.ts';
import { clipTerm, commonParts, groupOptions } from './parts.ts';

export function dapo(settings: AlgorithmOf<'dapo'>, correction: CorrectionConfig): Algorithm {
  const { overlong } = settings;
  const punished = (call: Call): Call => (overlong ? { ...call, credit: call.credit + overlongPunishment(call.tokens, overlong) } : call);
  return {
    grouped: true,
    dropsEvenGroups: settings.dynamicSampling,
    advantages: (calls) => spread(calls, groupAdvantages(calls.map(punished), groupOptions(settings))),
    loss: { ...commonParts(settings, correction), policy: clipTerm(settings, 'token') },
  };
}
