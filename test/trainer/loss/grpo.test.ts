import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { encodeModel, gradients, Graph, reshape, tokenDistribution, type Value } from '../../../model/graph/index.ts';
import { readSafetensors } from '../../../model/weights/safetensors.ts';
import { tokenWeights } from '../../../trainer/loss/aggregation.ts';
import { grpoInputs, grpoLoss, type GrpoLossOptions } from '../../../trainer/loss/grpo.ts';
import { supervisedLoss } from '../../../trainer/loss/supervised.ts';
import type { LossFn } from '../../../trainer/learner.ts';
import { assertClose, goldenText, goldenPath } from '../golden.ts';

type Aggregation = Parameters<typeof tokenWeights>[1];

interface Case {
  readonly batch: string;
  readonly spec: {
    readonly policy: { readonly type: string; readonly eps_low?: number; readonly eps_high?: number };
    readonly kl?: { readonly coef: number };
    readonly agg: { readonly mode: Aggregation };
  };
  readonly loss: number;
  readonly tol: { readonly loss_abs: number; readonly grad_rel: number };
}
interface Losses {
  readonly cases: Readonly<Record<string, Case>>;
  readonly entropy: { readonly 'entropy-bonus.trl': { readonly coef: number; readonly loss: number } };
}
const golden: Losses = JSON.parse(goldenText('losses/losses.json'));

/** Runs a loss on given log-probs (`logp_new` is the parameter). */
async function lossOf(build: LossFn, logprob: Float32Array, inputs: Readonly<Record<string, Float32Array>>): Promise<{ loss: number; gradient: Float32Array }> {
  const n = logprob.length;
  const graph = new Graph();
  const parameter = graph.input('logprob', 'float32', [n]);
  const { loss } = build({ graph, logprob: parameter, entropy: graph.constant(new Float32Array(n), [n]), perToken: (name) => graph.input(name, 'float32', [n]), sequenceSum: () => assert.fail() });
  const [gradient] = gradients(loss, [parameter]);
  return run(graph, loss, gradient, { logprob: new Tensor('float32', logprob, [n]), ...tensors(inputs) });
}

async function run(graph: Graph, loss: Value, gradient: Value | undefined, feeds: Record<string, Tensor>): Promise<{ loss: number; gradient: Float32Array }> {
  assert.ok(gradient);
  graph.output('loss', loss);
  graph.output('gradient', gradient);
  const session = await InferenceSession.create(encodeModel(graph), { intraOpNumThreads: 1 });
  const out = await session.run(feeds);
  await session.release();
  assert.ok(out['loss']?.data instanceof Float32Array && out['gradient']?.data instanceof Float32Array);
  return { loss: out['loss'].data[0] ?? NaN, gradient: out['gradient'].data };
}

function tensors(inputs: Readonly<Record<string, Float32Array>>): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(inputs).map(([name, data]) => [name, new Tensor('float32', data, [data.length])]));
}

/** Aggregation weights of a `[rows, time]` mask, 0 where masked. */
function weightsOf(mask: Float32Array, rows: number, rolloutIds: ArrayLike<number>, aggregation: Aggregation): Float32Array {
  const time = mask.length / rows;
  const calls = Array.from({ length: rows }, (_, row) => ({ rolloutId: String(rolloutIds[row]), tokens: mask.subarray(row * time, (row + 1) * time).reduce((a, b) => a + b, 0) }));
  const perCall = tokenWeights(calls, aggregation);
  return mask.map((trained, i) => trained * (perCall[Math.floor(i / time)] ?? NaN));
}

const simple = ['grpo.trl/plain', 'grpo.trl/nonfinite_masked', 'ppo-clip.token-mean.verl/', 'dapo.trl/plain', 'grpo-kl.trl/plain'];
for (const [name, { batch, spec, loss, tol }] of Object.entries(golden.cases).filter(([name]) => simple.some((start) => name.startsWith(start)))) {
  await test(`value and gradient: ${name}`, async () => {
    const data = readSafetensors(goldenPath(`losses/inputs.${batch}.safetensors`));
    const shared = batch === 'tokenadv' ? readSafetensors(goldenPath('losses/inputs.plain.safetensors')) : data;
    const logprob = data.read('logp_new').data;
    const mask = data.read('mask').data;
    const [rows = 0] = data.shape('mask');
    const advantages = data.read('advantages').data;
    const advantage = spec.policy.type === 'none' ? new Float32Array(mask.length)
      : advantages.length === mask.length ? advantages : mask.map((_, i) => advantages[Math.floor(i / (mask.length / rows))] ?? NaN);
    const options: GrpoLossOptions = { clipLow: spec.policy.eps_low ?? 0.2, clipHigh: spec.policy.eps_high ?? 0.2, klCoefficient: spec.kl?.coef ?? 0, entropyCoefficient: 0 };
    const rolloutIds = shared.has('rollout_id') ? shared.readInts('rollout_id') : new Int32Array(rows);
    const inputs = {
      behaviourLogprob: data.read('logp_old').data, advantage, weight: weightsOf(mask, rows, rolloutIds, spec.agg.mode),
      ...(options.klCoefficient > 0 ? { referenceLogprob: data.read('logp_ref').data } : {}),
    };
    assert.deepEqual(Object.keys(inputs).sort(), grpoInputs(options).sort());
    const result = await lossOf(grpoLoss(options), logprob, inputs);
    assertClose([result.loss], [loss], { absolute: tol.loss_abs }, 'loss');
    const expected = readSafetensors(goldenPath('losses/expected.safetensors'));
    assertClose(result.gradient, expected.read(`${name}/grad`).data, { relative: tol.grad_rel }, 'gradient');
    expected.close();
  });
}

await test('the entropy bonus, to the logits', async () => {
  const data = readSafetensors(goldenPath('losses/entropy.safetensors'));
  const { coef, loss } = golden.entropy['entropy-bonus.trl'];
  const [rows = 0, time = 0, vocabulary = 0] = data.shape('logits');
  const n = rows * time;
  const mask = data.read('mask').data;
  const tokens = mask.reduce((a, b) => a + b, 0);
  const advantages = data.read('advantages').data;
  const graph = new Graph();
  const logits = graph.input('logits', 'float32', [n, vocabulary]);
  const { logprob, entropy } = tokenDistribution(logits, graph.constant(data.readInts('tokens'), [n]), graph.constant(new Float32Array(n).fill(1), [n]));
  const built = grpoLoss({ clipLow: 0.2, clipHigh: 0.2, klCoefficient: 0, entropyCoefficient: coef })({ graph, logprob, entropy, perToken: (name) => graph.input(name, 'float32', [n]), sequenceSum: () => assert.fail() });
  const [gradient] = gradients(built.loss, [logits]);
  const result = await run(graph, built.loss, gradient && reshape(gradient, [n * vocabulary]), {
    logits: new Tensor('float32', data.read('logits').data, [n, vocabulary]),
    ...tensors({
      behaviourLogprob: data.read('logp_old').data,
      advantage: mask.map((_, i) => advantages[Math.floor(i / time)] ?? NaN),
      weight: weightsOf(mask, rows, new Int32Array(rows), 'seq-mean-token-mean'),
      entropyWeight: mask.map((trained) => (trained * coef) / tokens),
    }),
  });
  assertClose([result.loss], [loss], { relative: 2e-5 }, 'loss');
  assertClose(result.gradient, data.read('entropy-bonus.trl/grad_logits').data, { relative: 2e-5 }, 'gradient');
});

await test('cross-entropy is the weighted negative log-prob, and padding does not leak', async () => {
  const result = await lossOf(supervisedLoss, Float32Array.of(-1, -2, NaN, -Infinity), { weight: Float32Array.of(0.25, 0.75, 0, 0) });
  assertClose([result.loss], [1.75], { absolute: 1e-6 }, 'loss');
  assert.deepEqual([...result.gradient].map((g) => g + 0), [-0.25, -0.75, 0, 0]);
});
