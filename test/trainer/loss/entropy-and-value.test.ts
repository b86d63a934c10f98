import { test } from 'node:test';
import assert from 'node:assert/strict';
import { gradients, Graph, reshape, tokenDistribution } from '../../../model/graph/index.ts';
import { readSafetensors } from '../../../model/weights/safetensors.ts';
import type { Aggregation } from '../../../trainer/loss/aggregation.ts';
import { policyLoss } from '../../../trainer/loss/policy-loss.ts';
import type { PolicyLossSpec } from '../../../trainer/loss/spec.ts';
import { weighTokens } from '../../../trainer/loss/weigh-tokens.ts';
import { assertClose, goldenPath, goldenText } from '../golden.ts';
import { memoized, runGraph } from './golden-loss.ts';

interface Stored {
  readonly entropy: Readonly<Record<string, { readonly coef: number; readonly loss: number }>>;
  readonly value: Readonly<Record<string, { readonly clip: number | null; readonly agg: string; readonly loss: number }>>;
}
const stored: Stored = JSON.parse(goldenText('losses/losses.json'));
const tolerance = { relative: 2e-5 };

/** Weights of a `[rows, time]` mask laid out like it. */
function weightsOf(spec: PolicyLossSpec, mask: Float32Array, rows: number, name: 'weight' | 'entropyWeight'): Float32Array {
  const time = mask.length / rows;
  const counts = Array.from({ length: rows }, (_, row) => mask.subarray(row * time, (row + 1) * time).reduce((a, b) => a + b, 0));
  const weights = weighTokens(spec, counts.map((tokens, row) => ({ rolloutId: String(row), tokens, truncated: false })));
  return mask.map((trained, i) => trained * (weights[Math.floor(i / time)]?.[name][0] ?? NaN));
}

for (const [name, { coef, loss }] of Object.entries(stored.entropy)) {
  await test(`${name}, to the logits`, async () => {
    const data = readSafetensors(goldenPath('losses/entropy.safetensors'));
    const [rows = 0, time = 0, vocabulary = 0] = data.shape('logits');
    const n = rows * time;
    const mask = data.read('mask').data;
    const advantages = data.read('advantages').data;
    const spec: PolicyLossSpec = {
      policy: { type: 'clip', clipLow: 0.2, clipHigh: 0.2, ratio: { level: 'token', old: 'given' } },
      aggregation: { mode: 'seq-mean-token-mean', sequences: 'all' },
      entropy: { coefficient: coef, aggregation: { mode: 'token-mean' } },
    };
    const graph = new Graph();
    const logits = graph.input('logits', 'float32', [n, vocabulary]);
    const { logprob, entropy } = tokenDistribution(logits, graph.constant(data.readInts('tokens'), [n]), graph.constant(new Float32Array(n).fill(1), [n]));
    const built = policyLoss(spec)({ graph, logprob, entropy, perToken: memoized((input) => graph.input(input, 'float32', [n])), sequenceSum: () => assert.fail() });
    const [gradient] = gradients(built.loss, [logits]);
    const result = await runGraph(graph, { loss: built.loss, gradient: reshape(gradient ?? assert.fail(), [n * vocabulary]) }, {
      logits: data.read('logits').data, oldLogprob: data.read('logp_old').data, advantage: mask.map((_, i) => advantages[Math.floor(i / time)] ?? NaN),
      weight: weightsOf(spec, mask, rows, 'weight'), entropyWeight: weightsOf(spec, mask, rows, 'entropyWeight'),
    });
    assertClose(result['loss'] ?? [], [loss], tolerance, 'loss');
    assertClose(result['gradient'] ?? [], data.read(`${name}/grad_logits`).data, tolerance, 'gradient');
    data.close();
  });
}

const aggregations: Readonly<Record<string, Aggregation>> = {
  'token-mean': { mode: 'token-mean' },
  'seq-mean-token-mean': { mode: 'seq-mean-token-mean', sequences: 'nonempty' },
  'seq-mean-token-sum': { mode: 'seq-mean-token-sum', sequences: 'nonempty' },
};
for (const [name, { clip, agg, loss }] of Object.entries(stored.value)) {
  await test(name, async () => {
    const data = readSafetensors(goldenPath('losses/value.safetensors'));
    const mask = data.read('mask').data;
    const [rows = 0] = data.shape('mask');
    const spec: PolicyLossSpec = { policy: null, aggregation: aggregations[agg] ?? assert.fail(agg), value: { coefficient: 1, ...(clip === null ? {} : { clip }) } };
    const graph = new Graph();
    const value = graph.input('value', 'float32', [mask.length]);
    const built = policyLoss(spec)({
      graph, value, logprob: value, entropy: value, perToken: memoized((input) => graph.input(input, 'float32', [mask.length])), sequenceSum: () => assert.fail(),
    });
    const [gradient] = gradients(built.loss, [value]);
    const wild = (tensor: string): Float32Array => data.read(tensor).data.map((x, i) => (mask[i] === 1 ? x : NaN)); // masked places must not leak
    const result = await runGraph(graph, { loss: built.loss, gradient: gradient ?? assert.fail() }, {
      value: wild('vpreds'), oldValue: wild('values_old'), return: wild('returns'), weight: weightsOf(spec, mask, rows, 'weight'),
    });
    assertClose(result['loss'] ?? [], [loss], tolerance, 'loss');
    assertClose(result['gradient'] ?? [], data.read(`${name}/grad_vpreds`).data, tolerance, 'gradient');
    data.close();
  });
}
