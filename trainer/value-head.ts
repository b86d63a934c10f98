/** PPO's value head: V(s) = w·h + b, h the hidden state after the final norm at the position that a token is predicted from. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { add, gemm, reshape, type Value } from '../model/graph/index.ts';
import type { Tensor } from '../model/model.ts';
import { readSafetensors, writeSafetensors } from '../model/weights/safetensors.ts';

const file = 'value_head.safetensors';
const [weightName, biasName] = ['value_head.weight', 'value_head.bias'] as const;

/** Says 0 of everything until it has learned. */
export function createValueHead(hiddenSize: number): Map<string, Tensor> {
  return new Map([
    [weightName, { shape: [1, hiddenSize], data: new Float32Array(hiddenSize) }],
    [biasName, { shape: [1], data: new Float32Array(1) }],
  ]);
}

export function isOfValueHead(name: string): boolean {
  return name === weightName || name === biasName;
}

/** `[M, hiddenSize]` → `[M]`; `parameter` gives the head's tensors by name. */
export function valueHead(output: Value, parameter: (name: string) => Value): Value {
  return reshape(add(gemm(output, parameter(weightName), { transB: true }), parameter(biasName)), [-1]);
}

/** A policy's own value head; null where it was trained without one. */
export function readValueHead(directory: string): Map<string, Tensor> | null {
  const path = join(directory, file);
  if (!existsSync(path)) return null;
  const saved = readSafetensors(path);
  try {
    return new Map([weightName, biasName].map((name) => [name, saved.read(name)]));
  } finally {
    saved.close();
  }
}

/** Writes nothing where there is none among the parameters. */
export function writeValueHead(directory: string, parameters: ReadonlyMap<string, Tensor>): void {
  const own = [...parameters].filter(([name]) => isOfValueHead(name));
  if (own.length > 0) writeSafetensors(join(directory, file), own);
}
