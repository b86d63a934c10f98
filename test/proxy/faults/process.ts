/** A proxy in a process of its own. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export interface ServerProcess extends AsyncDisposable {
  readonly url: string;
  readonly child: ChildProcess;
  /** How it ended: the exit code, or the signal's name. */
  readonly exited: Promise<number | string>;
  chat(content: string, more?: object, headers?: Record<string, string>): Promise<Response>;
}

export const serverScript = fileURLToPath(new URL('server.ts', import.meta.url));

export async function startProcess(config: object): Promise<ServerProcess> {
  const child = spawn(process.execPath, [serverScript, JSON.stringify(config)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit').then(([code, signal]: (number | string | null)[]) => signal ?? code ?? -1); // Node gives one of them
  const lines = createInterface({ input: child.stdout });
  const [url] = await Promise.race([once(lines, 'line'), exited.then((how) => assert.fail(`the server ended before it listened: ${how}`))]) as [string]; // it prints one line
  return {
    url, child, exited,
    chat: (content, more = {}, headers = {}) => fetch(`${url}/v1/chat/completions`, {
      method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify({ model: 'fake', messages: [{ role: 'user', content }], ...more }),
    }),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}
