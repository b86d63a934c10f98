/** The stored reward sets, and the tokens that count of a `[rows, time]` tensor. */
import { readSafetensors } from '../../../model/weights/safetensors.ts';
import { goldenPath } from '../golden.ts';

export const tolerance = { relative: 1e-5, absolute: 1e-6 };
export const sets = ['even', 'odd'] as const;

export function openAdvantages() {
  const file = readSafetensors(goldenPath('advantages/advantages.safetensors'));
  return {
    has: (name: string) => file.has(name),
    read: (name: string) => file.read(name).data,
    /** One call a rollout. */
    calls(set: string) {
      const groups = file.readInts(`${set}/group_id`);
      return Array.from(file.read(`${set}/rewards`).data, (credit, i) => ({ taskId: String(groups[i]), rolloutId: `r${i}`, credit }));
    },
    /** The unmasked entries of each row: what lies between them is no time step. */
    tokens(set: string, name: string): Float64Array[] {
      const { shape: [rows = 0, time = 0], data } = file.read(`${set}/${name}`);
      const mask = file.read(`${set}/mask`).data;
      return Array.from({ length: rows }, (_, b) => Float64Array.from([...data.subarray(b * time, (b + 1) * time)].filter((_, t) => mask[b * time + t] === 1)));
    },
    [Symbol.dispose]() {
      file.close();
    },
  };
}
