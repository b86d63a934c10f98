/** Shares of the loss are compared with stored ones in test/golden/credit.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Aggregation, aggregationWeights } from '../../../trainer/loss/aggregation.ts';

const calls = [{ rolloutId: 'a', tokens: 2 }, { rolloutId: 'b', tokens: 0 }];
const table: readonly (readonly [Aggregation, readonly [number, number]])[] = [
  [{ mode: 'token-mean' }, [1 / 2, 0]],
  [{ mode: 'token-mean', normalizer: 10 }, [1 / 10, 0]],
  [{ mode: 'seq-mean-token-mean', sequences: 'nonempty' }, [1 / 2, 0]],
  [{ mode: 'seq-mean-token-mean', sequences: 'all' }, [1 / 4, 0]],
  [{ mode: 'seq-mean-token-sum', sequences: 'nonempty' }, [1, 0]],
  [{ mode: 'seq-mean-token-sum', sequences: 'all', normalizer: 4 }, [1 / 8, 0]],
  [{ mode: 'per-rollout-mean', denominator: 'rollouts' }, [1 / 2, 0]],
  [{ mode: 'per-rollout-mean', denominator: 'sequences' }, [1 / 4, 0]],
];
for (const [aggregation, weights] of table) {
  await test(`a call without tokens weighs nothing: ${JSON.stringify(aggregation)}`, () => assert.deepEqual([...aggregationWeights(calls, aggregation)], weights));
}

await test('of no tokens at all nothing is not a number', () => {
  for (const [aggregation] of table) assert.deepEqual([...aggregationWeights([{ rolloutId: 'a', tokens: 0 }], aggregation)], [0]);
});
