import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Aggregation, aggregationWeights } from '../../../trainer/loss/aggregation.ts';
import { assertClose, goldenText } from '../golden.ts';

interface Credit {
  readonly calls: readonly { readonly rollout_id: string; readonly tokens: number }[];
  readonly loss_share_per_call: Readonly<Record<string, readonly number[]>>;
}

await test('each call has its share of the loss (golden)', () => {
  const golden: Credit = JSON.parse(goldenText('credit/credit.json'));
  const calls = golden.calls.map((call) => ({ rolloutId: call.rollout_id, tokens: call.tokens }));
  const aggregations: Readonly<Record<string, Aggregation>> = {
    'token-mean': { mode: 'token-mean' },
    'seq-mean-token-mean': { mode: 'seq-mean-token-mean', sequences: 'nonempty' },
    'per-rollout-mean.rollouts': { mode: 'per-rollout-mean', denominator: 'rollouts' },
    'per-rollout-mean.rows': { mode: 'per-rollout-mean', denominator: 'sequences' },
  };
  assert.deepEqual(Object.keys(aggregations).sort(), Object.keys(golden.loss_share_per_call).sort());
  for (const [name, aggregation] of Object.entries(aggregations)) {
    const shares = aggregationWeights(calls, aggregation).map((weight, i) => weight * (calls[i]?.tokens ?? NaN));
    assertClose(shares, golden.loss_share_per_call[name] ?? [], { relative: 1e-12 }, name);
  }
});

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
