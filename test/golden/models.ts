/** `models/`: every checkpoint of the set, its adapters and its full gradients, in training and in the engine. */
import { readdirSync } from 'node:fs';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openGoldenAt, type Golden } from '../model/golden.ts';
import { unknown, type Check, type Group } from './check.ts';
import { blockChecks } from './models/block.ts';
import { modelChecks } from './models/whole.ts';

export const models: Group = async function* (set) {
  for (const entry of readdirSync(join(set, 'models'), { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    for await (const check of checksOf(join(set, 'models', entry.name, '/'))) yield { ...check, name: `${entry.name}: ${check.name}` };
  }
};

async function* checksOf(directory: string): AsyncGenerator<Check> {
  let golden: Golden;
  try {
    golden = openGoldenAt(directory, 'config.json');
  } catch (error) {
    yield unknown('the model', error instanceof Error ? error.message : String(error));
    return;
  }
  await using cache = await mkdtempDisposable(join(tmpdir(), 'golden-'));
  const { results } = golden;
  const blocks = results.names().filter((name) => name.endsWith('/logits')).map((name) => name.slice(0, -'/logits'.length));
  const checked = new Set<string>();
  for (const checks of [modelChecks(golden, cache.path), ...blocks.map((block) => blockChecks(golden, block, cache.path))]) {
    for (const { tensors, ...check } of checks) {
      tensors.forEach((name) => checked.add(name));
      yield check;
    }
  }
  for (const name of results.names()) if (!checked.has(name)) yield unknown(name, 'this project has no check for this tensor');
  results.close();
  golden.weights.close();
}
