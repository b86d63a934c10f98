/**
 * Two optimizer steps of a stored model on a device: `node training-steps.ts DEVICE MODEL lora|full` prints what came out as JSON. A
 * program, because a process looks for its Vulkan libraries where its environment said when it was started.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readAdapter } from '../../../model/adapter.ts';
import { createEmbeddedLearner } from '../../../trainer/backends/embedded.ts';
import type { Device } from '../../../trainer/backends/device.ts';
import { AdamW, clipByGlobalNorm } from '../../../trainer/optimizer.ts';
import { openGolden } from '../../model/golden.ts';
import { goldenBatch, weightedNll } from './golden-batch.ts';

export type Method = 'lora' | 'full';

export interface TrainingSteps {
  readonly losses: readonly number[];
  /** Of the first step. */
  readonly logprobs: readonly number[];
  readonly entropy: readonly number[];
  readonly gradients: Readonly<Record<string, readonly number[]>>;
  /** Parameters after the last step. */
  readonly parameters: Readonly<Record<string, readonly number[]>>;
}

export async function trainingSteps(device: Device, model: string, method: Method): Promise<TrainingSteps> {
  const golden = openGolden(model);
  const cacheDir = mkdtempSync(join(tmpdir(), 'device-'));
  const learner = await createEmbeddedLearner({
    model: { config: golden.config, weights: golden.weights, fingerprint: model }, loss: weightedNll, threads: 1, cacheDir, device,
    trainable: method === 'full' ? { kind: 'full' } : { kind: 'adapter', adapter: readAdapter(join(golden.directory, 'lora'), golden.config) },
  });
  try {
    const optimizer = new AdamW(learner.parameters, { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 });
    const { batch } = goldenBatch(golden, 1);
    const first = await learner.forwardBackward(batch);
    const gradients = plain(first.gradients);
    step(optimizer, first.gradients);
    const second = await learner.forwardBackward(batch);
    step(optimizer, second.gradients);
    const parameters = plain(new Map([...learner.parameters].map(([name, { data }]) => [name, data])));
    return { losses: [first.loss, second.loss], logprobs: [...first.logprobs], entropy: [...first.entropy], gradients, parameters };
  } finally {
    await learner.close();
    rmSync(cacheDir, { recursive: true });
  }
}

function step(optimizer: AdamW, gradients: ReadonlyMap<string, Float32Array>): void {
  const clipped = new Map(gradients);
  clipByGlobalNorm(clipped, 1);
  optimizer.update(clipped, 1e-3);
}

const plain = (tensors: ReadonlyMap<string, Float32Array>): Record<string, number[]> => Object.fromEntries([...tensors].map(([name, data]) => [name, [...data]]));

if (import.meta.main) {
  // As the tests start it.
  const [device, model, method] = process.argv.slice(2) as [Device, string, Method];
  process.stdout.write(JSON.stringify(await trainingSteps(device, model, method)));
}
