/** Our side: policies trained and written as a round does it, and the logits that the training graph gives. */
import { mkdirSync } from 'node:fs';
import { trainerSchema } from '../../config/schema.ts';
import { readAdapter } from '../../model/adapter.ts';
import { openWeights } from '../../model/open.ts';
import { logitsOf } from '../../test/golden/models/logits.ts';
import { algorithmOf } from '../../trainer/algorithms/index.ts';
import { lossInputs, type LossInput } from '../../trainer/loss/policy-loss.ts';
import { openTrainingPolicy } from '../../trainer/policy.ts';

/** A rate that changes the policy well beyond rounding in few updates. */
const LEARNING_RATE = 1e-3;
const UPDATES = 4;

/** Makes half of the tokens likelier and half less likely, for a few updates, and writes the policy's directory. */
export async function trainPolicy(base: string, method: 'lora' | 'full', tokenIds: Int32Array, directory: string, cacheDir: string): Promise<void> {
  const model = await openWeights(base);
  const config = trainerSchema.parse({ method, optimizer: { learningRate: LEARNING_RATE } });
  const policy = await openTrainingPolicy({ model: { ...model, path: base }, config, cacheDir });
  try {
    policy.load({ version: 0, kind: 'base', directory: null }, 1);
    policy.changing();
    const positions = tokenIds.subarray(1).map((_, m) => m);
    const floats = (make: (m: number) => number): Float32Array => Float32Array.from(positions, make);
    const tokens = { batch: 1, time: tokenIds.length, tokenIds, positions, targets: tokenIds.slice(1), temperature: floats(() => 1), perToken: {} };
    const { logprobs } = await policy.learner.forward(tokens);
    const known: Partial<Record<LossInput, Float32Array>> = { advantage: floats((m) => (m % 2 === 0 ? 1 : -1)), weight: floats(() => 1 / positions.length), oldLogprob: logprobs };
    const perToken = Object.fromEntries(lossInputs(algorithmOf(config).loss).map((name) => [name, known[name] ?? floats(() => 1)]));
    for (let update = 0; update < UPDATES; update++) {
      const { gradients } = await policy.learner.forwardBackward({ ...tokens, perToken });
      policy.optimizer.update(gradients, LEARNING_RATE);
    }
    mkdirSync(directory, { recursive: true });
    policy.write(directory);
  } finally {
    await policy.close();
    model.weights.close();
  }
}

/** Logits `[time, vocab]` of a base model, with an adapter directory or as it is. */
export async function ourLogits(base: string, adapter: string | null, tokenIds: Int32Array, cacheDir: string): Promise<Float32Array> {
  const model = await openWeights(base);
  try {
    return await logitsOf({ ...model, directory: model.fingerprint }, { ids: tokenIds, batch: 1, time: tokenIds.length }, adapter === null ? null : readAdapter(adapter, model.config), cacheDir);
  } finally {
    model.weights.close();
  }
}
