import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Tensor } from '../../model/model.ts';
import { readSafetensors } from '../../model/weights/safetensors.ts';
import { accumulate, AdamW, clipByGlobalNorm, learningRateFactor, schedules } from '../../trainer/optimizer.ts';
import { assertClose, goldenText, goldenPath } from './golden.ts';

interface Run {
  readonly config: {
    readonly steps: number; readonly lr: number; readonly betas: readonly [number, number]; readonly eps: number; readonly weight_decay: number;
    readonly max_grad_norm: number | null; readonly schedule: keyof typeof schedules; readonly warmup_steps: number; readonly total_steps: number;
  };
  readonly lr: readonly number[];
  readonly grad_norm_before_clip: readonly number[];
}
const { param_names: names, pure }: { param_names: string[]; pure: Record<string, Run> } = JSON.parse(goldenText('optim/optim.json'));

for (const [name, run] of Object.entries(pure)) {
  await test(`AdamW follows PyTorch: ${name}`, () => {
    const golden = readSafetensors(goldenPath('optim/adamw.safetensors'));
    const { config } = run;
    const parameters = new Map<string, Tensor>(names.map((own) => [own, golden.read(`init.${own}`)]));
    const optimizer = new AdamW(parameters, { beta1: config.betas[0], beta2: config.betas[1], epsilon: config.eps, weightDecay: config.weight_decay });
    for (let step = 0; step < config.steps; step++) {
      const gradients = new Map(names.map((own) => [own, golden.read(`grad.${step}.${own}`).data]));
      assertClose([clipByGlobalNorm(gradients, config.max_grad_norm ?? Infinity)], [run.grad_norm_before_clip[step] ?? NaN], { relative: 1e-6, absolute: 1e-9 }, 'norm');
      optimizer.update(gradients, run.lr[step] ?? NaN);
      for (const own of names) assertClose(parameters.get(own)?.data ?? [], golden.read(`${name}/after.${step}.${own}`).data, { absolute: 2e-6 }, `${own} after step ${step}`);
    }
    const { moments } = optimizer.state();
    for (const own of names) {
      for (const kind of ['exp_avg', 'exp_avg_sq']) assertClose(moments.get(`${kind}.${own}`)?.data ?? [], golden.read(`${name}/${kind}.${own}`).data, { relative: 1e-6, absolute: 2e-6 }, `${kind} ${own}`);
    }
    golden.close();
  });
}

await test('schedules follow transformers', () => {
  for (const { config, lr } of Object.values(pure)) {
    const factor = schedules[config.schedule];
    assertClose(lr.map((_, step) => config.lr * factor(step, config.warmup_steps, config.total_steps)), lr, { relative: 1e-12 }, config.schedule);
  }
});

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
