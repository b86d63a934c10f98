/** Runs `fulgurite` as a user does: a process of its own. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const mainFile = fileURLToPath(new URL('../../cli/main.ts', import.meta.url));

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function fulgurite(args: readonly string[], options: { readonly cwd?: string; readonly env?: Record<string, string> } = {}) {
  const child = spawn(process.execPath, [mainFile, ...args], { cwd: options.cwd, env: { ...process.env, FULGURITE_URL: 'http://127.0.0.1:9', ...options.env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => { stdout += text; });
  child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr += text; });
  const finished = new Promise<Finished>((resolve) => { child.once('close', (code) => resolve({ code, stdout, stderr })); });
  /** Resolves with the first match in what it has printed so far. */
  const printed = (pattern: RegExp) => new Promise<RegExpExecArray>((resolve, reject) => {
    const look = () => {
      const match = pattern.exec(stdout) ?? pattern.exec(stderr);
      if (match) resolve(match);
    };
    child.stdout.on('data', look);
    child.stderr.on('data', look);
    child.once('close', (code) => reject(new Error(`ended with ${code} before it printed ${pattern}: ${stderr}`)));
    look();
  });
  return {
    child, finished, printed,
    /** A test that fails half-way leaves nothing running. */
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await finished;
    },
  };
}
