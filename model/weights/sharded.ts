/** The weights of a Hugging Face directory: `model.safetensors`, or shards named by `model.safetensors.index.json`. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { ModelError } from '../error.ts';
import type { Weights } from '../model.ts';
import { readSafetensors, type SafetensorsFile } from './safetensors.ts';

const indexSchema = z.object({ weight_map: z.record(z.string(), z.string().regex(/^[^/\\]+$/, 'a plain file name')) });

/** The weight files of a directory, in name order, without opening them. @throws ModelError `not_found`, `corrupt` */
export function weightFiles(directory: string): string[] {
  const single = join(directory, 'model.safetensors');
  if (existsSync(single)) return [single];
  return [...new Set(Object.values(readIndex(directory)))].sort().map((file) => join(directory, file));
}

/** @throws ModelError `not_found`, `corrupt` */
export function openSharded(directory: string): Weights {
  const single = join(directory, 'model.safetensors');
  if (existsSync(single)) return readSafetensors(single);
  const fileOf = readIndex(directory);
  const opened = new Map<string, SafetensorsFile>();
  const close = (): void => opened.forEach((file) => file.close());
  try {
    for (const file of new Set(Object.values(fileOf))) opened.set(file, readSafetensors(join(directory, file)));
    const holder = (name: string): SafetensorsFile => {
      const file = fileOf[name];
      const shard = file === undefined ? undefined : opened.get(file);
      if (!shard) throw new ModelError('unknown_tensor', `${directory} has no tensor "${name}".`);
      return shard;
    };
    for (const name of Object.keys(fileOf)) {
      if (!holder(name).has(name)) throw new ModelError('corrupt', `${directory}: the index places "${name}" in ${fileOf[name]}, which does not hold it.`);
    }
    return {
      names: () => Object.keys(fileOf),
      has: (name) => Object.hasOwn(fileOf, name),
      shape: (name) => holder(name).shape(name),
      read: (name) => holder(name).read(name),
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

function readIndex(directory: string): Record<string, string> {
  const path = join(directory, 'model.safetensors.index.json');
  if (!existsSync(path)) {
    throw new ModelError('not_found', `${directory} has neither model.safetensors nor model.safetensors.index.json; give a Hugging Face model directory with safetensors weights, or a .gguf file.`);
  }
  try {
    return indexSchema.parse(JSON.parse(readFileSync(path, 'utf8'))).weight_map;
  } catch (error) {
    throw new ModelError('corrupt', `${path} is not a shard index; copy or download it again.`, { cause: error });
  }
}
