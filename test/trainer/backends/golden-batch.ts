/** The batch and the loss that the stored gradients belong to. */
import { mul, neg, reduceSum } from '../../../model/graph/index.ts';
import type { LossFn, MicroBatch } from '../../../trainer/learner.ts';
import type { Golden } from '../../model/golden.ts';

export const weightedNll: LossFn = ({ logprob, perToken }) => ({ loss: neg(reduceSum(mul(perToken('weight'), logprob))) });

/** The golden batch; every real token with a successor is listed, then a few entries of padding. */
export function goldenBatch({ results }: Golden, temperature: number): { batch: MicroBatch; at: readonly number[] } {
  const [rows = 0, time = 0] = results.shape('input_ids');
  const ids = results.readInts('input_ids');
  const attention = results.readInts('attention_mask');
  const weights = results.read('weights').data;
  const lossMask = results.read('loss_mask').data;
  const maskSum = lossMask.reduce((a, b) => a + b, 0);
  const at: number[] = [];
  const flat: number[] = [];
  for (let b = 0; b < rows; b++) for (let t = 0; t + 1 < time; t++) if (attention[b * time + t + 1] === 1) { at.push(b * (time - 1) + t); flat.push(b * time + t); }
  const padding = [0, 0, 0];
  const positions = [...flat, ...padding];
  return {
    at,
    batch: {
      batch: rows,
      time,
      tokenIds: ids,
      positions: Int32Array.from(positions),
      targets: Int32Array.from([...flat.map((position) => ids[position + 1] ?? 0), ...padding]),
      temperature: Float32Array.from([...flat.map(() => temperature), 1, 1, 1]),
      perToken: { weight: Float32Array.from([...at.map((i) => ((weights[i] ?? 0) * (lossMask[i] ?? 0)) / maskSum), 0, 0, 0]) },
    },
  };
}
