/** The stored PyTorch results of test/fixtures/golden/models, and of other sets like it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseModelConfig } from '../../model/config.ts';
import type { ModelConfig } from '../../model/model.ts';
import { readSafetensors, type SafetensorsFile } from '../../model/weights/safetensors.ts';

interface MaxAbs {
  readonly max_abs: number;
}

/** As golden.json has them. */
export interface Float32Errors {
  readonly logits: MaxAbs;
  readonly logprobs: MaxAbs;
  readonly logprobs_temp: MaxAbs;
  readonly entropy: MaxAbs;
  readonly loss: { readonly value: number; readonly abs: number };
  readonly grads: { readonly max_abs_over_tensor_absmax: number };
}

export interface Golden {
  readonly directory: string;
  readonly config: ModelConfig;
  readonly weights: SafetensorsFile;
  readonly results: SafetensorsFile;
  readonly lossOf: (block: string) => number;
  /** How far PyTorch's float32 run of a block was off its float64 run. */
  readonly float32Errors: (block: string) => Float32Errors;
  readonly temperature: number;
}

export type ConfigLayout = 'config.json' | 'config.v4.json';

export function openGolden(name: string, layout: ConfigLayout = 'config.json'): Golden {
  return openGoldenAt(fileURLToPath(new URL(`../fixtures/golden/models/${name}/`, import.meta.url)), layout);
}

/** @param directory with a slash at its end */
export function openGoldenAt(directory: string, layout: ConfigLayout): Golden {
  const numbers: Record<string, Float32Errors> & { temperature: number } = JSON.parse(readFileSync(`${directory}golden.json`, 'utf8'));
  return {
    directory,
    config: parseModelConfig(JSON.parse(readFileSync(directory + layout, 'utf8')), layout),
    weights: readSafetensors(`${directory}model.safetensors`),
    results: readSafetensors(`${directory}golden.safetensors`),
    lossOf: (block) => numbers[block]?.loss.value ?? Number.NaN,
    float32Errors: (block) => numbers[block] ?? assert.fail(`golden.json has no block ${block}`),
    temperature: numbers.temperature,
  };
}

export function maxAbsDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  assert.equal(actual.length, expected.length);
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs((actual[i] ?? 0) - (expected[i] ?? 0));
    worst = difference > worst || Number.isNaN(difference) ? difference : worst;
  }
  return worst;
}

export function assertClose(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number, what: string): void {
  const worst = maxAbsDifference(actual, expected);
  assert.ok(worst <= tolerance, `${what}: off by ${worst}, tolerance ${tolerance}`);
}

export const maxAbs = (values: Float32Array): number => values.reduce((worst, value) => Math.max(worst, Math.abs(value)), 0);
