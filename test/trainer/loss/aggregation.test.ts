import assert from 'node:assert/strict';
import { test } from 'node:test';
import { aggregations, tokenWeights } from '../../../trainer/loss/aggregation.ts';
import { assertClose, goldenText } from '../golden.ts';

interface Credit {
  readonly calls: readonly { readonly rollout_id: string; readonly tokens: number }[];
  readonly loss_share_per_call: Readonly<Record<string, readonly number[]>>;
}

await test('each call has its share of the loss (golden)', () => {
  const golden: Credit = JSON.parse(goldenText('credit/credit.json'));
  const calls = golden.calls.map((call) => ({ rolloutId: call.rollout_id, tokens: call.tokens }));
  const stored = { 'token-mean': 'token-mean', 'seq-mean-token-mean': 'seq-mean-token-mean', 'per-rollout-mean': 'per-rollout-mean.rollouts' };
  for (const aggregation of aggregations) {
    const shares = tokenWeights(calls, aggregation).map((weight, i) => weight * (calls[i]?.tokens ?? NaN));
    assertClose(shares, golden.loss_share_per_call[stored[aggregation]] ?? [], { relative: 1e-12 }, aggregation);
  }
});

await test('calls without tokens weigh nothing and do not count', () => {
  const calls = [{ rolloutId: 'a', tokens: 2 }, { rolloutId: 'b', tokens: 0 }];
  for (const aggregation of aggregations) assert.deepEqual([...tokenWeights(calls, aggregation)], [0.5, 0]);
});
