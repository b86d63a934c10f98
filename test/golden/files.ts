/** The files of a set. JSON has the shape that the set's README says, so its readers state it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readSafetensors, type SafetensorsFile } from '../../model/weights/safetensors.ts';

export const readText = (set: string, path: string): string => readFileSync(join(set, path), 'utf8');

/** JSON has no infinities: the sets write "inf", "-inf" and "nan". */
const numbers: Readonly<Record<string, number>> = { inf: Infinity, '-inf': -Infinity, nan: NaN };

export const numberOf = (stored: number | string): number => (typeof stored === 'number' ? stored : numbers[stored] ?? Number.NaN);

export const openTensors = (set: string, path: string): SafetensorsFile & Disposable => {
  const file = readSafetensors(join(set, path));
  return Object.assign(file, { [Symbol.dispose]: () => file.close() });
};
