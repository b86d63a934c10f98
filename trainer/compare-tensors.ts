import { readSafetensors } from '../model/weights/safetensors.ts';

/** In one sentence, where two safetensors files differ: how many tensors, and the one with the greatest |difference|. */
export function compareTensors(a: string, b: string): string {
  const [left, right] = [readSafetensors(a), readSafetensors(b)];
  try {
    const differing = left.names().filter((name) => right.has(name) && !Buffer.from(left.readBytes(name)).equals(Buffer.from(right.readBytes(name))));
    const missing = left.names().filter((name) => !right.has(name)).length + right.names().filter((name) => !left.has(name)).length;
    const worst = differing.filter((name) => left.dtype(name) !== 'I32' && left.shape(name).join() === right.shape(name).join())
      .map((name) => ({ name, distance: greatestDistance(left.read(name).data, right.read(name).data) })).sort((x, y) => y.distance - x.distance)[0];
    return `${differing.length} of ${left.names().length} tensors differ${missing > 0 ? `, ${missing} are in one file only` : ''}${worst ? `, most ${worst.name}, by ${worst.distance.toPrecision(3)}` : ''}`;
  } finally {
    left.close();
    right.close();
  }
}

function greatestDistance(a: Float32Array, b: Float32Array): number {
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - (b[i] ?? NaN))), 0);
}
