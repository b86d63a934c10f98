/** Starts the servers that are compared. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

export interface Server extends AsyncDisposable {
  readonly url: string;
  /** Resident memory, MiB; 0 where it cannot be told. */
  memoryMb(): Promise<number>;
}

const root = join(import.meta.dirname, '..', '..');
const START_MS = 120_000;

/** Fulgurite as `npm start` runs it, trainer included. */
export async function startOurs(settings: Readonly<Record<string, string>>): Promise<Server> {
  const port = await freePort();
  const sets = Object.entries({ log: 'silent', ...settings }).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
  return started(spawn(process.execPath, [join(root, 'cli', 'main.ts'), 'serve', '--port', String(port), ...sets], { stdio: ['ignore', 'ignore', 'inherit'] }), port, '/readyz');
}

/** llama.cpp's server with one slot per client. */
export async function startLlamaCpp(program: string, model: string, { threads, slots, context }: { readonly threads: number; readonly slots: number; readonly context: number }): Promise<Server> {
  const port = await freePort();
  const args = ['-m', model, '--host', '127.0.0.1', '--port', String(port), '-t', String(threads), '-tb', String(threads), '-np', String(slots), '-c', String(slots * context), '--no-webui'];
  return started(spawn(program, args, { stdio: 'ignore' }), port, '/health');
}

async function started(child: ChildProcess, port: number, path: string): Promise<Server> {
  const url = `http://127.0.0.1:${port}`;
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill();
    await exit;
  };
  for (const end = Date.now() + START_MS; ;) {
    const isReady = await fetch(url + path).then(({ ok }) => ok, () => false);
    if (isReady) break;
    if (child.exitCode !== null || Date.now() > end) {
      await stop();
      throw new Error(`${child.spawnfile} did not come up`);
    }
    await setTimeout(100);
  }
  return { url, memoryMb: () => memoryOf(child.pid), [Symbol.asyncDispose]: stop };
}

async function memoryOf(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // a TCP server's
  server.close();
  await once(server, 'close');
  return port;
}
