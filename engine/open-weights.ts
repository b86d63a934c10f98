/** What the engine needs of a model, without its text side. TEMPORARY until model/open.ts offers it. */
import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseModelConfig } from '../model/config.ts';
import { openGguf } from '../model/weights/gguf.ts';
import { openSharded, weightFiles } from '../model/weights/sharded.ts';
import type { Weighted } from './policy.ts';

export async function openWeights(path: string): Promise<Weighted> {
  if (path.endsWith('.gguf')) return { ...openGguf(path), fingerprint: createHash('sha256').update(`${path} ${statSync(path).size}`).digest('hex') };
  const source = join(path, 'config.json');
  const hash = createHash('sha256').update(readFileSync(source));
  for (const file of weightFiles(path)) hash.update(readFileSync(file));
  return { config: parseModelConfig(JSON.parse(readFileSync(source, 'utf8')), source), weights: openSharded(path), fingerprint: hash.digest('hex') };
}
