import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TokenStatistics } from '../../trainer/token-statistics.ts';
import { assertClose } from './golden.ts';

await test('ratios, clipping, entropy and KL by hand', () => {
  const statistics = new TokenStatistics({ clipLow: 0.2, clipHigh: 0.3 });
  const tokens: [ratio: number, advantage: number][] = [[1, 1], [1.25, 1], [1.4, 1], [1.4, -1], [0.7, -1], [0.7, 1]];
  for (const [ratio, advantage] of tokens) statistics.add({ logprob: Math.log(ratio) - 1, behaviourLogprob: -1, advantage, entropy: ratio });
  assert.equal(statistics.tokens, 6);
  const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  assertClose([statistics.ratioMean, statistics.ratioMax, statistics.entropy], [mean(tokens.map(([r]) => r)), 1.4, mean(tokens.map(([r]) => r))], { absolute: 1e-12 }, 'ratio');
  // Past 1.3 with a positive advantage, below 0.8 with a negative one.
  assert.equal(statistics.clipFraction, 2 / 6);
  assertClose([statistics.klFromBehaviour], [mean(tokens.map(([r]) => r - 1 - Math.log(r)))], { absolute: 1e-12 }, 'k3');
});

await test('no tokens: zeros, not NaN', () => {
  const { ratioMean, ratioMax, clipFraction, entropy, klFromBehaviour } = new TokenStatistics({ clipLow: 0.2, clipHigh: 0.2 });
  assert.deepEqual([ratioMean, ratioMax, clipFraction, entropy, klFromBehaviour], [0, 0, 0, 0, 0]);
});
