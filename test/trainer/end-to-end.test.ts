import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readAdapter } from '../../model/adapter.ts';
import { readSafetensors } from '../../model/weights/safetensors.ts';
import { createEmbeddedLearner } from '../../trainer/backends/embedded.ts';
import { supervisedLoss } from '../../trainer/loss/supervised.ts';
import { AdamW, clipByGlobalNorm, cosineWithWarmup } from '../../trainer/optimizer.ts';
import { openGolden } from '../model/golden.ts';
import { assertClose, goldenPath, goldenText } from './golden.ts';

interface Run {
  readonly config: {
    readonly steps: number; readonly lr: number; readonly betas: readonly [number, number]; readonly eps: number; readonly weight_decay: number;
    readonly max_grad_norm: number; readonly warmup_steps: number; readonly total_steps: number;
  };
  readonly grad_norm_before_clip: readonly number[];
  readonly loss_before_step: readonly number[];
}

await test('ten LoRA updates of a whole model follow PyTorch: losses, gradient norms, every tensor after every step', async () => {
  const { end_to_end: { 'llama-tied': run } }: { end_to_end: { 'llama-tied': Run } } = JSON.parse(goldenText('optim/optim.json'));
  const expected = readSafetensors(goldenPath('optim/e2e-llama-tied.safetensors'));
  const golden = openGolden('llama-tied');
  const cacheDir = mkdtempSync(join(tmpdir(), 'fulgurite-end-to-end-'));
  const adapter = readAdapter(join(golden.directory, 'lora'), golden.config);
  const learner = await createEmbeddedLearner({ model: { config: golden.config, weights: golden.weights, fingerprint: 'tiny' }, trainable: { kind: 'adapter', adapter }, loss: supervisedLoss, threads: 1, cacheDir });
  try {
    const tokenIds = golden.results.readInts('input_ids');
    const [batch = 0, time = 0] = golden.results.shape('input_ids');
    const mask = golden.results.read('loss_mask').data;
    const weights = golden.results.read('weights').data;
    const trained = [...mask.keys()].filter((i) => mask[i] === 1);
    const positions = Int32Array.from(trained, (i) => Math.floor(i / (time - 1)) * time + (i % (time - 1)));
    const microBatch = {
      batch, time, tokenIds, positions, targets: positions.map((position) => tokenIds[position + 1] ?? -1), temperature: new Float32Array(trained.length).fill(1),
      perToken: { weight: Float32Array.from(trained, (i) => (weights[i] ?? NaN) / trained.length) },
    };
    const { config } = run;
    const optimizer = new AdamW(learner.parameters, { beta1: config.betas[0], beta2: config.betas[1], epsilon: config.eps, weightDecay: config.weight_decay });
    for (let step = 0; step < config.steps; step++) {
      const { loss, gradients } = await learner.forwardBackward(microBatch);
      assertClose([loss], [run.loss_before_step[step] ?? NaN], { absolute: 1e-4 }, `loss before step ${step}`);
      const norm = clipByGlobalNorm(new Map(gradients), config.max_grad_norm);
      assertClose([norm], [run.grad_norm_before_clip[step] ?? NaN], { relative: 5e-5 }, `gradient norm at step ${step}`);
      optimizer.update(gradients, config.lr * cosineWithWarmup(step, config.warmup_steps, config.total_steps));
      for (const [name, { data }] of learner.parameters) {
        const stored = `after.${step}.${name}`;
        assert.ok(expected.has(stored), stored);
        assertClose(data, expected.read(stored).data, { absolute: 2e-5 }, stored);
      }
    }
  } finally {
    await learner.close();
    for (const file of [expected, golden.weights, golden.results]) file.close();
    rmSync(cacheDir, { recursive: true, force: true });
  }
});
