/** Algorithms by name. */
import type { TrainerConfig } from '../../config/schema.ts';
import type { Algorithm } from './algorithm.ts';
import { cispo } from './cispo.ts';
import { dapo } from './dapo.ts';
import { drGrpo } from './dr-grpo.ts';
import { grpo } from './grpo.ts';
import { gspo } from './gspo.ts';
import { ppo } from './ppo.ts';
import { reinforcePpBaseline } from './reinforce-pp-baseline.ts';
import { reinforcePp } from './reinforce-pp.ts';
import { rloo } from './rloo.ts';

export type { Algorithm, Call, TokenAdvantages } from './algorithm.ts';

export function algorithmOf({ algorithm, correction, credit }: Pick<TrainerConfig, 'algorithm' | 'correction' | 'credit'>): Algorithm {
  switch (algorithm.name) {
    case 'grpo': return grpo(algorithm, correction);
    case 'dr-grpo': return drGrpo(algorithm, correction);
    case 'dapo': return dapo(algorithm, correction);
    case 'gspo': return gspo(algorithm, correction);
    case 'cispo': return cispo(algorithm, correction);
    case 'rloo': return rloo(algorithm, correction);
    case 'reinforce-pp': return reinforcePp(algorithm, correction);
    case 'reinforce-pp-baseline': return reinforcePpBaseline(algorithm, correction);
    default: return ppo(algorithm, correction, credit);
  }
}
