/** Adapters that differ from one another and from the base model enough to be told apart. */
import { join } from 'node:path';
import { createAdapter, writeAdapter, type LoraConfig } from '../../model/adapter.ts';
import type { ModelConfig } from '../../model/model.ts';
import { seededRandom } from '../../trainer/random.ts';

export const LORA: LoraConfig = { rank: 8, alpha: 16, rsLora: false, targets: ['q_proj', 'v_proj'] };

/** @returns their directories */
export function makeAdapters(config: ModelConfig, directory: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => {
    const random = seededRandom(index + 1);
    const adapter = createAdapter(config, LORA, random);
    for (const { b } of adapter.modules.values()) b.data.forEach((_, i) => { b.data[i] = 0.04 * (random() - 0.5); });
    const path = join(directory, String(index));
    writeAdapter(path, adapter, 'base');
    return path;
  });
}
