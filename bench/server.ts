/** A server that is measured: a process of its own, started and stopped. */
import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

export interface Server extends AsyncDisposable {
  readonly url: string;
  /** From the start of its process to its first answer that it is ready. */
  readonly readyMs: number;
  /** Resident memory of its process and those that it started, MiB; 0 where it cannot be told. */
  memoryMb(): Promise<number>;
  /** What they have computed so far, all threads. */
  cpuSeconds(): Promise<number>;
}

const root = join(import.meta.dirname, '..');
const START_MS = 120_000;

/** As in the command's first line. */
const flags = ['--max-semi-space-size=16', '--heap-growing-percent=100', '--no-parallel-scavenge', '--v8-pool-size=1'];

/** Fulgurite as `npm start` runs it, or as it is installed (after `npm run build`), by `--set`s. */
export async function startOurs(settings: Readonly<Record<string, string>>, as: 'sources' | 'built' = 'sources'): Promise<Server> {
  const port = await freePort();
  const sets = Object.entries({ log: 'silent', ...settings }).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
  return startProgram(process.execPath, [...flags, as === 'built' ? join(root, 'dist', 'cli', 'main.js') : join(root, 'cli', 'main.ts'), 'serve', '--port', String(port), ...sets], { port, readyPath: '/readyz', stdio: ['ignore', 'ignore', 'inherit'] });
}

export interface ProgramOptions extends SpawnOptions {
  readonly port: number;
  /** Answers 200 when it is ready. */
  readonly readyPath: string;
  /** How long that may take; two minutes unless said. */
  readonly startMs?: number;
}

/** @throws Error when it ends, or is not ready in time. */
export async function startProgram(program: string, args: readonly string[], { port, readyPath, startMs = START_MS, ...options }: ProgramOptions): Promise<Server> {
  const startedAt = performance.now();
  const child = spawn(program, args, { stdio: 'ignore', ...options });
  const failed = once(child, 'error').then(([error]: unknown[]) => { throw error; });
  failed.catch(() => undefined); // looked at below, if at all
  const url = `http://127.0.0.1:${port}`;
  for (const end = Date.now() + startMs; ;) {
    const isReady = await Promise.race([failed, fetch(url + readyPath).then(({ ok }) => ok, () => false)]);
    if (isReady) break;
    if (child.exitCode !== null || Date.now() > end) {
      await stop(child);
      throw new Error(`${program} did not come up`);
    }
    await setTimeout(10);
  }
  return { url, readyMs: performance.now() - startedAt, memoryMb: () => sumOf(child.pid, memoryOf), cpuSeconds: () => sumOf(child.pid, cpuOf), [Symbol.asyncDispose]: () => stop(child) };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill();
  await exit;
}

/** Over a process and those that it started. */
async function sumOf(pid: number | undefined, of: (pid: number | undefined) => Promise<number>): Promise<number> {
  const children = (await procFile(pid, `task/${pid}/children`)).split(' ').filter((child) => child !== '');
  const below = await Promise.all(children.map((child) => sumOf(Number(child), of)));
  return below.reduce((sum, one) => sum + one, await of(pid));
}

const memoryOf = async (pid: number | undefined): Promise<number> => Number(/VmRSS:\s+(\d+)/.exec(await procFile(pid, 'status'))?.[1] ?? 0) / 1024;

/** User and system time, in hundredths of a second (proc_pid_stat(5)), after the name in parentheses. */
async function cpuOf(pid: number | undefined): Promise<number> {
  const fields = (await procFile(pid, 'stat')).replace(/^.*\) /s, '').split(' ');
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / 100;
}

/** Empty where it cannot be read. */
const procFile = (pid: number | undefined, path: string): Promise<string> => readFile(`/proc/${pid}/${path}`, 'utf8').catch(() => '');

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // a TCP server's
  server.close();
  await once(server, 'close');
  return port;
}
