/** The trainer as a child process: started beside the proxy, restarted with back-off when it dies. Imports none of the trainer. */
import { type ChildProcess, fork } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Config } from '../config/schema.ts';

export interface TrainerExit {
  /** Exit status, or null if a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** When it is started again; null after `stop`. */
  readonly restartInMs: number | null;
}

export interface TrainerProcessOptions {
  readonly config: Config;
  readonly onExit?: (exit: TrainerExit) => void;
  /** First delay before a restart; doubles up to a minute, and starts over with every trainer that has come up. */
  readonly firstRestartMs?: number;
}

export interface TrainerProcess {
  /** Undefined while it waits to be started again. */
  readonly pid: number | undefined;
  /** Ends it for good: SIGTERM, and SIGKILL after `graceMs` (default 10,000). Resolves when it is gone. */
  stop(graceMs?: number): Promise<void>;
}

const longestRestartMs = 60_000;

export function startTrainerProcess(options: TrainerProcessOptions): TrainerProcess {
  const entry = fileURLToPath(new URL(`./child${extname(import.meta.url)}`, import.meta.url));
  const { firstRestartMs = 500 } = options;
  let child: ChildProcess | undefined;
  let delayMs = firstRestartMs;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  const start = (): void => {
    // The parent's own flags (a debugger's port, a test runner's) are not the child's.
    const own = fork(entry, [], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], execArgv: [] });
    child = own;
    own.send(options.config);
    // 'error' comes instead of 'exit' when it could not be started, and beside it when a message could not be sent.
    own.on('error', (error) => { console.error(`trainer: ${error.message}`); });
    // Its one message: it is ready. A trainer that comes up and dies in a round comes back quickly; how often that round may do so, its row counts.
    own.once('message', () => { delayMs = firstRestartMs; });
    own.once('exit', (code, signal) => {
      child = undefined;
      options.onExit?.({ code, signal, restartInMs: stopped ? null : delayMs });
      if (stopped) return;
      timer = setTimeout(start, delayMs);
      delayMs = Math.min(delayMs * 2, longestRestartMs);
    });
  };
  start();

  return {
    get pid() {
      return child?.pid;
    },
    async stop(graceMs = 10_000) {
      stopped = true;
      clearTimeout(timer);
      const own = child;
      if (!own) return;
      const gone = new Promise<void>((resolve) => { own.once('exit', () => { resolve(); }); });
      own.kill('SIGTERM');
      const kill = setTimeout(() => own.kill('SIGKILL'), graceMs);
      await gone;
      clearTimeout(kill);
    },
  };
}
