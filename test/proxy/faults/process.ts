/** A proxy in a process of its own. */
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
const cli = fileURLToPath(new URL('../../../cli/main.ts', import.meta.url));

/** A proxy over the fake backend. */
export const startProcess = (config: object): Promise<ServerProcess> => start([serverScript, JSON.stringify(config)], /^(http.*)$/);

/** `fulgurite serve`. @param settings as `--set` takes them */
export const startServe = (settings: readonly string[]): Promise<ServerProcess> =>
  start([cli, 'serve', ...settings.flatMap((setting) => ['--set', setting])], /OPENAI_BASE_URL=(.*)\/v1/);

/** @param listening the line by which it says its URL */
async function start(args: readonly string[], listening: RegExp): Promise<ServerProcess> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  const exited = once(child, 'exit').then(([code, signal]: (number | string | null)[]) => signal ?? code ?? -1); // Node gives one of them
  const url = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const match = listening.exec(line);
      if (match?.[1] !== undefined) resolve(match[1]);
    });
    child.once('exit', (code, signal) => { reject(new Error(`the server ended before it listened: ${signal ?? code}`)); });
  });
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
