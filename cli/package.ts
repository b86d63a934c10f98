/** Where this package lies, whether it runs from its sources (cli/) or built (dist/cli/). */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const runsFromSource = import.meta.url.endsWith('.ts');

/** The directory of package.json. */
export const packageRoot = fileURLToPath(new URL(runsFromSource ? '..' : '../..', import.meta.url));

/** A module of cli/ as a file that Node can start: `server/process` → `…/cli/server/process.ts`. */
export function cliModule(name: string): string {
  return fileURLToPath(new URL(`./${name}${runsFromSource ? '.ts' : '.js'}`, import.meta.url));
}

export function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(`${packageRoot}/package.json`, 'utf8')) as { version: string }; // our own file
  return version;
}
