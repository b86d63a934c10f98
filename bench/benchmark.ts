/** What a benchmark is, and the little that all of them need. */
import { spawn } from 'node:child_process';

/**
 * `run` of `bench/NAME/index.ts`: measures, prints lines for people, returns figures for programs.
 * @param args its own options, as on the command line
 * @returns among them `holds`, where something must: what does not makes the program fail
 */
export type Benchmark = (args: readonly string[], print: (line: string) => void) => Promise<Figures>;

export type Figures = Readonly<Record<string, unknown>> & { readonly holds?: Readonly<Record<string, boolean>> };

/**
 * Runs a program to its end, in a process of its own, and reads the last line it prints as JSON.
 * @throws Error with the end of its stderr if it fails
 */
export async function runForJson(command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<unknown> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => { out += text; });
  child.stderr.setEncoding('utf8').on('data', (text: string) => { err += text; });
  const code = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve));
  if (code !== 0) throw new Error(`${command} ${args.slice(0, 1).join(' ')} failed (${code}): ${err.trim().slice(-2000)}`);
  return JSON.parse(out.trim().split('\n').at(-1) ?? '');
}

export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1 ? sorted[Math.floor(middle)] ?? NaN : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
}
