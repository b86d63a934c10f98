/** Updates, clipping and schedules are compared with PyTorch's and transformers' in test/golden/optim.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Tensor } from '../../model/model.ts';
import { accumulate, AdamW, clipByGlobalNorm, learningRateFactor, type schedules } from '../../trainer/optimizer.ts';
import { assertClose } from './golden.ts';

await test('rounds: the rate is never 0, and a decaying one ends at a tenth', () => {
  const factors = (schedule: keyof typeof schedules, updates: readonly number[]) => updates.map((update) => learningRateFactor({ schedule, warmupSteps: 3, totalSteps: 13 }, update));
  const warm = [0.25, 0.5, 0.75, 1];
  assertClose(factors('constant', [0, 1, 2, 3, 8, 100]), [...warm, 1, 1], { absolute: 1e-12 }, 'constant');
  assertClose(factors('linear', [0, 1, 2, 3, 8, 13, 14, 100]), [...warm, 0.55, 0.1, 0.1, 0.1], { absolute: 1e-12 }, 'linear');
  assertClose(factors('cosine', [0, 1, 2, 3, 8, 13, 14, 100]), [...warm, 0.55, 0.1, 0.1, 0.1], { absolute: 1e-12 }, 'cosine');
});

await test('saved state goes on as if never stopped', () => {
  const gradients = (step: number) => new Map([['w', Float32Array.of(0.1 * step, -0.3, 2)]]);
  const options = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01 };
  const fresh = (data: ArrayLike<number>) => new Map<string, Tensor>([['w', { shape: [3], data: Float32Array.from(data) }]]);
  const whole = fresh([1, 2, 3]);
  const optimizer = new AdamW(whole, options);
  optimizer.update(gradients(1), 0.1);
  const resumed = fresh(whole.get('w')?.data ?? []);
  const second = new AdamW(resumed, options);
  second.load(optimizer.state());
  optimizer.update(gradients(2), 0.1);
  second.update(gradients(2), 0.1);
  assert.deepEqual(resumed, whole);
  assert.equal(second.step, 2);
  assert.throws(() => new AdamW(fresh([1]), options).load(optimizer.state()), /w \(1 elements\)/);
});

await test('a gradient that is not finite is reported and left alone', () => {
  const gradients = new Map([['w', Float32Array.of(1, NaN)]]);
  assert.ok(!Number.isFinite(clipByGlobalNorm(gradients, 1)));
  assert.equal(gradients.get('w')?.[0], 1);
});

await test('micro-batch gradients add up', () => {
  const total = new Map<string, Float32Array>();
  accumulate(total, new Map([['w', Float32Array.of(1, 2)]]));
  accumulate(total, new Map([['w', Float32Array.of(3, -1)]]));
  assert.deepEqual([...(total.get('w') ?? [])], [4, 1]);
});
