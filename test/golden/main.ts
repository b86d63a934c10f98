/**
 * `npm run golden -- DIR`: every check on a set of reference numbers, of any seed and shapes; without DIR on the project's own. The layout of a set is that of
 * test/fixtures/golden. Exit code 1 if a check failed.
 */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { groups } from './groups.ts';
import { runGroup, type Report } from './run.ts';

const own = fileURLToPath(new URL('../fixtures/golden/', import.meta.url));
const [given] = process.argv.slice(2);
// npm runs scripts in the package's directory; a path is meant from where the command was given.
const set = given === undefined ? own : resolve(process.env['INIT_CWD'] ?? '.', given);

const shown = ({ share, check }: Report['worst']): string => `worst error ${Number.isFinite(share) ? `${(100 * share).toPrecision(2)} % of its tolerance` : 'past any tolerance'} (${check})`;

function print({ group, passed, failures, skipped, worst }: Report): void {
  console.log(`${group.padEnd(12)}${String(passed).padStart(5)} passed ${String(failures.length).padStart(4)} failed   ${worst.share === 0 ? 'no error' : shown(worst)}`);
  for (const failure of failures) console.log(`  FAILED ${failure}`);
  for (const [reason, count] of skipped) console.log(`  ${count} skipped: ${reason}`);
}

const reports: Report[] = [];
for (const [name, group] of Object.entries(groups)) {
  const report = await runGroup(name, group, set);
  reports.push(report);
  print(report);
}
const total = (count: (report: Report) => number): number => reports.reduce((sum, report) => sum + count(report), 0);
const failed = total(({ failures }) => failures.length);
console.log(`${total(({ passed }) => passed)} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
