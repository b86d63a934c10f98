/**
 * Writes tasks/train.jsonl and tasks/val.jsonl: different problems, no question in both.
 *
 *   node examples/calculator/make-tasks.ts
 */
import { writeFileSync } from 'node:fs';
import { drawProblems } from './problems.ts';

const taken = new Set<string>();
for (const { split, count, seed } of [{ split: 'val', count: 120, seed: 1 }, { split: 'train', count: 512, seed: 2 }]) {
  const lines = drawProblems(count, seed, taken).map(({ question, answer }, index) =>
    JSON.stringify({ id: `${split}-${String(index).padStart(3, '0')}`, question, answer }));
  writeFileSync(new URL(`tasks/${split}.jsonl`, import.meta.url), `${lines.join('\n')}\n`);
}
