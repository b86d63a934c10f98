/** Runs one command as its own process group: input in, output tails out, killed as a whole when its time is up. */
import { type ChildProcess, spawn } from 'node:child_process';
import { Tail } from './tail.ts';

export interface Command {
  /** Program and arguments; no shell is involved. */
  readonly argv: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: string;
  readonly timeoutMs: number;
}

export type Ending =
  | { readonly kind: 'exited'; readonly code: number }
  | { readonly kind: 'killed'; readonly signal: NodeJS.Signals }
  | { readonly kind: 'timed_out' }
  | { readonly kind: 'interrupted' }
  | { readonly kind: 'not_started'; readonly reason: string };

export interface ProcessResult {
  readonly ending: Ending;
  /** The last `maxStdoutBytes` of what it wrote. */
  readonly stdout: string;
  readonly stderr: string;
}

const maxStdoutBytes = 1024 * 1024;
const maxStderrBytes = 8 * 1024;
/** Between SIGTERM and SIGKILL. */
const graceMs = 2_000;
/** How long output may still come after the exit, when a grandchild holds the pipe. */
const drainMs = 500;

/** The process groups that are running. Disposing it, or the end of this process, kills what is left of them. */
export class ProcessGroups implements Disposable {
  readonly #running = new Set<ChildProcess>();
  readonly #killAll = () => {
    for (const child of this.#running) killGroup(child, 'SIGKILL');
  };

  constructor() {
    process.on('exit', this.#killAll);
  }

  [Symbol.dispose](): void {
    process.off('exit', this.#killAll);
    this.#killAll();
  }

  /** Never rejects: how it ended is in the result. Aborting the signal ends the whole group. */
  async run(command: Command, signal: AbortSignal): Promise<ProcessResult> {
    if (signal.aborted) return { ending: { kind: 'interrupted' }, stdout: '', stderr: '' };
    const [program, ...args] = command.argv;
    const child = spawn(program, args, { env: { ...process.env, ...command.env }, stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    this.#running.add(child);
    const stdout = new Tail(maxStdoutBytes);
    const stderr = new Tail(maxStderrBytes);
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.stdin.on('error', () => {}); // a command need not read its input
    child.stdin.end(command.stdin);
    const ending = await ended(child, command.timeoutMs, signal);
    this.#running.delete(child);
    return { ending, stdout: stdout.text(), stderr: stderr.text() };
  }
}

function ended(child: ChildProcess, timeoutMs: number, signal: AbortSignal): Promise<Ending> {
  return new Promise((resolve) => {
    let cause: Ending | null = null;
    let killTimer: NodeJS.Timeout | undefined;
    const stop = (because: Ending) => {
      if (cause) return;
      cause = because;
      killGroup(child, 'SIGTERM');
      killTimer = setTimeout(() => killGroup(child, 'SIGKILL'), graceMs);
    };
    const onAbort = () => stop({ kind: 'interrupted' });
    const timer = setTimeout(() => stop({ kind: 'timed_out' }), timeoutMs);
    signal.addEventListener('abort', onAbort, { once: true });
    const finish = (ending: Ending) => {
      clearTimeout(timer);
      clearTimeout(killTimer);
      signal.removeEventListener('abort', onAbort);
      resolve(ending);
    };
    child.on('error', (error) => {
      if (child.pid === undefined) finish({ kind: 'not_started', reason: error.message });
    });
    child.on('exit', () => {
      // The leader obeyed SIGTERM; what it started may not have.
      if (cause) killGroup(child, 'SIGKILL');
      setTimeout(() => {
        child.stdout?.destroy();
        child.stderr?.destroy();
      }, drainMs).unref();
    });
    child.on('close', (code, signalName) => finish(cause ?? (signalName === null ? { kind: 'exited', code: code ?? 0 } : { kind: 'killed', signal: signalName })));
  });
}

function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    // ESRCH: the whole group has gone already, which is what was wanted.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}
