/** The same batch for every contender: random token ids, the second half of every row trained, PPO's clipped surrogate. */
import { clip, exp, min, mul, neg, reduceSum, sub } from '../../model/graph/index.ts';
import type { LossFn, MicroBatch } from '../../trainer/learner.ts';
import { seededRandom } from '../../trainer/random.ts';

export const CLIP = 0.2;

/** `4x256` → 4 rows of 256 tokens. */
export function parseShape(text: string): { readonly batch: number; readonly time: number } {
  const [, batch, time] = /^(\d+)x(\d+)$/.exec(text) ?? [];
  if (batch === undefined || time === undefined) throw new Error(`a shape is ROWSxTOKENS, such as 4x256, not ${text}`);
  return { batch: Number(batch), time: Number(time) };
}

/** Advantages in ±1, and behaviour log-probs around that of a uniform guess: both sides of the clip are taken. */
export function workload({ batch, time }: { readonly batch: number; readonly time: number }, vocabSize: number): MicroBatch {
  const random = seededRandom(batch * time);
  const tokenIds = Int32Array.from({ length: batch * time }, () => Math.floor(random() * vocabSize));
  const prompt = Math.floor(time / 2);
  const positions = Int32Array.from({ length: batch * (time - prompt) }, (_, m) => Math.floor(m / (time - prompt)) * time + prompt - 1 + (m % (time - prompt)));
  const floats = (make: () => number): Float32Array => Float32Array.from(positions, make);
  return {
    batch, time, tokenIds, positions,
    targets: positions.map((position) => tokenIds[position + 1] ?? 0),
    temperature: floats(() => 1),
    perToken: { advantage: floats(() => 2 * random() - 1), behaviourLogprob: floats(() => -Math.log(vocabSize) + 0.5 * (random() - 0.5)), weight: floats(() => 1 / positions.length) },
  };
}

/** loss = −Σ weight · min(r·Â, clip(r)·Â). */
export const clippedLoss: LossFn = ({ logprob, perToken }) => {
  const ratio = exp(clip(sub(logprob, perToken('behaviourLogprob')), -20, 20));
  const advantage = perToken('advantage');
  return { loss: neg(reduceSum(mul(perToken('weight'), min(mul(ratio, advantage), mul(clip(ratio, 1 - CLIP, 1 + CLIP), advantage))))) };
};
