/** Rotary position embedding: what angle each pair of coordinates turns by at each position. */
import type { ModelConfig, RopeConfig } from './model.ts';

/** The angles of layers that see everything, and those of layers with a sliding window. */
export type RopeTable = 'full' | 'sliding';

/** A model's rotations by their names. */
export function ropesOf({ rope, sliding }: Pick<ModelConfig, 'rope' | 'sliding'>): ReadonlyMap<RopeTable, RopeConfig> {
  return new Map([['full', rope], ...(sliding ? [['sliding', sliding.rope] as const] : [])]);
}

/** Radians per position for each of the headDim/2 pairs, in float64. Linear and Llama 3's scaling: transformers `modeling_rope_utils`. */
export function ropeFrequencies(rope: RopeConfig, headDim: number): Float64Array {
  const base = Float64Array.from({ length: headDim / 2 }, (_, i) => rope.theta ** (-2 * i / headDim));
  if (rope.type === 'default') return base;
  if (rope.type === 'linear') return base.map((frequency) => frequency / rope.factor);
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositions } = rope;
  return base.map((frequency) => {
    const turns = (originalMaxPositions * frequency) / (2 * Math.PI); // within the context it was first trained on
    if (turns > highFreqFactor) return frequency;
    if (turns < lowFreqFactor) return frequency / factor;
    const smooth = (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
    return ((1 - smooth) * frequency) / factor + smooth * frequency;
  });
}

/** cos and sin of position · frequency, each `[positions, headDim/2]`, as ONNX Runtime's RotaryEmbedding and GroupQueryAttention take them. */
export function ropeTables(rope: RopeConfig, headDim: number, positions: number): { readonly cos: Float32Array; readonly sin: Float32Array } {
  const frequencies = ropeFrequencies(rope, headDim);
  const width = frequencies.length;
  const angles = (wave: (angle: number) => number): Float32Array => {
    const table = new Float32Array(positions * width);
    frequencies.forEach((frequency, i) => {
      for (let position = 0; position < positions; position++) table[position * width + i] = wave(position * frequency);
    });
    return table;
  };
  return { cos: angles(Math.cos), sin: angles(Math.sin) };
}
