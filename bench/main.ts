/**
 * `npm run bench -- NAME [options] [--json]`: runs the benchmark `bench/NAME/index.ts`. What it prints is for people; with `--json` the last line is one JSON
 * object with its figures and ratios. It ends with 1 where something does not hold that must.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Benchmark } from './benchmark.ts';

const names = readdirSync(import.meta.dirname, { recursive: true, encoding: 'utf8' }).flatMap((path) => /^([\w-]+)[\\/]index\.ts$/.exec(path)?.[1] ?? []).sort();
const [name, ...rest] = process.argv.slice(2);

if (name === undefined || !names.includes(name)) {
  console.error(`usage: npm run bench -- NAME [options] [--json]; NAME is one of: ${names.join(', ')}`);
  process.exitCode = 2;
} else {
  // An `index.ts` of this folder exports this function: the convention that makes a benchmark.
  const { run } = await import(pathToFileURL(join(import.meta.dirname, name, 'index.ts')).href) as { run: Benchmark };
  try {
    const figures = await run(rest.filter((argument) => argument !== '--json'), (line) => { console.log(line); });
    const broken = Object.entries(figures.holds ?? {}).flatMap(([what, holds]) => (holds ? [] : [what]));
    if (broken.length > 0) {
      console.error(`does not hold: ${broken.join(', ')}`);
      process.exitCode = 1;
    }
    if (rest.includes('--json')) console.log(JSON.stringify({ benchmark: name, ...figures }));
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
