/**
 * The main thread's end of the writer thread. Commands are committed in the order of `write` calls, in groups: all that queue
 * up while a commit runs go into the next one.
 */
import { Worker } from 'node:worker_threads';
import type { CommandArgument, CommandName, CommandResult, PostedCommand } from './commands.ts';
import { StoreError, unwritable } from './errors.ts';
import { payloadBytes, withOwnBytes } from './payload.ts';
import type { FromWriter, PlainOutcome, ToWriter, WriterData } from './writer-thread.ts';

export interface WriterLimits {
  /** Commands that may wait for their commit; default 8,192. */
  readonly maxQueuedCommands?: number;
  /** Bytes of bodies and arrays that may wait; default 64 MiB. */
  readonly maxQueuedBytes?: number;
  /** Called once if the thread dies by itself; every waiting and later `write` then fails with `writer_failed`. */
  readonly onFailure?: (error: StoreError) => void;
  /** Called when the database cannot be written any more (locked, disk full, read-only), and with null when it can again. */
  readonly onUnwritable?: (error: StoreError | null) => void;
}

export interface WriterOptions extends WriterData, WriterLimits {}

export interface WriterStats {
  readonly queuedCommands: number;
  readonly queuedBytes: number;
  /** Since the start. */
  readonly commands: number;
  readonly commits: number;
  /** Why the last write was given up; null while the database can be written. */
  readonly unwritable: StoreError | null;
}

export interface StoreWriter extends AsyncDisposable {
  /**
   * The promise resolves when the command is committed, and rejects with a `StoreError` when it failed (alone). Throws at once,
   * before anything is queued: `queue_full` (never for `completeSteps`: a step that was opened can always be completed),
   * `writer_failed`, `closed`. Arrays are copied; the caller may go on using them.
   *
   * `openSteps` need not be awaited: its `completeSteps` comes after it, and fails when it failed.
   */
  write<Name extends CommandName>(name: Name, argument: CommandArgument<Name>): Promise<CommandResult<Name>>;
  stats(): WriterStats;
  /** Commits what waits, then ends the thread. */
  close(): Promise<void>;
}

interface Waiting {
  readonly bytes: number;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: StoreError) => void;
}

/** Opens (and makes, and migrates) the database in the writer thread. @throws StoreError as `openDatabase` does. */
export async function startWriter(options: WriterOptions): Promise<StoreWriter> {
  const { onFailure: _, onUnwritable: __, ...workerData } = options; // functions cannot be posted
  const worker = startThread(workerData);
  await whenReady(worker);
  return connectWriter(worker, options);
}

/** V8 lets short-lived garbage grow for as long as there is room: without a limit the thread's memory would rise for hours. */
const maxYoungGenerationSizeMb = 16;

/** The thread alone; it posts `ready` or `refused`. */
export function startThread(workerData: WriterData): Worker {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  return new Worker(new URL(`./writer-thread.${extension}`, import.meta.url), { workerData, name: 'store-writer', resourceLimits: { maxYoungGenerationSizeMb } });
}

/** The writer over a thread that is ready. */
export function connectWriter(worker: Worker, limits: WriterLimits): StoreWriter {
  const { maxQueuedCommands = 8192, maxQueuedBytes = 64 * 1024 * 1024, onFailure, onUnwritable } = limits;
  const waiting = new Map<number, Waiting>();
  let outbox: PostedCommand[] = [];
  let lastId = 0;
  let lastPosted = 0;
  let lastSettled = 0;
  let queuedBytes = 0;
  let commits = 0;
  let ending: StoreError | undefined;
  let unwritableNow: StoreError | null = null;

  const note = (failure: StoreError | null): void => {
    const isChange = (failure === null) !== (unwritableNow === null);
    unwritableNow = failure;
    if (isChange) onUnwritable?.(failure);
  };
  const settle = (outcome: PlainOutcome): void => {
    const command = waiting.get(outcome.id);
    if (command === undefined) return;
    waiting.delete(outcome.id);
    queuedBytes -= command.bytes;
    if (!('error' in outcome)) {
      command.resolve(outcome.result);
      return;
    }
    const error = new StoreError(outcome.error.code, outcome.error.message);
    if (unwritable.has(error.code)) note(error);
    command.reject(error);
  };
  const fail = (cause: unknown): void => {
    if (ending !== undefined && waiting.size === 0) return;
    ending = new StoreError('writer_failed', `The store writer ended unexpectedly: ${cause instanceof Error ? cause.message : String(cause)}.`, { cause });
    for (const command of waiting.values()) command.reject(ending);
    waiting.clear();
    queuedBytes = 0;
    onFailure?.(ending);
  };
  // One message for all commands of a turn of the event loop, and of the time that a commit takes: a message costs more than a command.
  const post = (): void => {
    if (outbox.length === 0) return;
    const batch: ToWriter = outbox;
    outbox = [];
    lastPosted = lastId;
    worker.postMessage(batch, []);
  };
  const flush = (): void => { if (lastSettled === lastPosted) post(); };
  worker.on('message', (message: FromWriter) => {
    if (message.type !== 'committed') return;
    commits++;
    if (message.outcomes.some((outcome) => !('error' in outcome))) note(null);
    for (const outcome of message.outcomes) settle(outcome);
    lastSettled = message.outcomes.at(-1)?.id ?? lastSettled;
    flush();
  });
  worker.on('error', fail);
  const exited = new Promise<void>((resolve) => {
    worker.on('exit', (code) => {
      fail(`exit code ${code}`);
      resolve();
    });
  });


  const writer: StoreWriter = {
    write<Name extends CommandName>(name: Name, argument: CommandArgument<Name>): Promise<CommandResult<Name>> {
      if (ending !== undefined) throw ending;
      const bytes = payloadBytes(argument);
      if (name !== 'completeSteps' && (waiting.size >= maxQueuedCommands || queuedBytes + bytes > maxQueuedBytes)) {
        throw new StoreError('queue_full', 'The store cannot keep up; try again in a moment.');
      }
      const id = ++lastId;
      queuedBytes += bytes;
      const committed = new Promise<unknown>((resolve, reject) => { waiting.set(id, { bytes, resolve, reject }); });
      if (outbox.length === 0) setImmediate(flush);
      outbox.push({ id, name, argument: withOwnBytes(argument) });
      if (name === 'openSteps') committed.catch(() => undefined); // its completion reports the failure, see `write`
      return committed as Promise<CommandResult<Name>>; // the thread answers a command with that command's result
    },
    stats: () => ({ queuedCommands: waiting.size, queuedBytes, commands: lastId, commits, unwritable: unwritableNow }),
    async close(): Promise<void> {
      if (ending === undefined) {
        ending = new StoreError('closed', 'The store writer is closed.');
        post();
        worker.postMessage(null satisfies ToWriter, []);
      }
      await exited;
    },
    [Symbol.asyncDispose]: () => writer.close(),
  };
  return writer;
}

/** @throws StoreError what the thread met when it opened the database; `writer_failed` if it could not start. */
export function whenReady(worker: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.once('message', (message: FromWriter) => {
      if (message.type === 'refused') reject(new StoreError(message.error.code, message.error.message));
      else resolve();
    });
    worker.once('error', reject);
    worker.once('exit', () => { reject(new StoreError('writer_failed', 'The store writer ended before it was ready.')); });
  });
}
