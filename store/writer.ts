/**
 * The main thread's end of the writer thread. Commands are committed in the order of `write` and `record` calls, in groups. What is recorded goes
 * into the journal first: its caller need not wait for the database.
 */
import { Worker } from 'node:worker_threads';
import { Backlog } from './backlog.ts';
import type { CommandArgument, CommandName, CommandResult } from './commands.ts';
import { StoreError } from './errors.ts';
import type { RecordedName } from './journal/frames.ts';
import { Journal } from './journal/journal.ts';
import { payloadBytes, withOwnBytes } from './payload.ts';
import type { FromWriter, PlainError, PlainOutcome, ToWriter, WriterData } from './writer-thread.ts';

export interface WriterLimits {
  /** Commands that may wait for their commit; default 8,192. */
  readonly maxQueuedCommands?: number;
  /** Bytes of bodies and arrays that may wait; default 64 MiB. */
  readonly maxQueuedBytes?: number;
  /** Called once if the thread dies by itself; every waiting and later `write` then fails with `writer_failed`. */
  readonly onFailure?: (error: StoreError) => void;
  /** Called when the database cannot be written any more (locked, disk full, read-only), and with null when it can again. */
  readonly onUnwritable?: (error: StoreError | null) => void;
  /** Called when the database refuses what its caller was told is kept: the journal is not used any more, commits are waited for. */
  readonly onRefused?: (error: StoreError) => void;
}

export interface WriterOptions extends WriterData, WriterLimits {}

export interface WriterStats {
  readonly queuedCommands: number;
  readonly queuedBytes: number;
  /** Of those, what is in the journal. */
  readonly ahead: { readonly entries: number; readonly bytes: number };
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
   */
  write<Name extends CommandName>(name: Name, argument: CommandArgument<Name>): Promise<CommandResult<Name>>;
  /**
   * As `write`, but resolves as soon as the command survives the process's end: in the journal, before the database has it. Where there is no journal (durability
   * `power`), where it cannot be written, or the database takes nothing, that is its commit.
   *
   * Only `completeSteps` need be awaited: what it needs comes before it, and it fails when that failed.
   */
  record<Name extends RecordedName>(name: Name, argument: CommandArgument<Name>): Promise<void>;
  /** When all that was recorded so far can be read from the database, or it takes nothing now. */
  settled(): Promise<void>;
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
  const { onFailure: _, onUnwritable: __, onRefused: ___, ...workerData } = options; // functions cannot be posted
  const worker = startThread(workerData);
  return connectWriter(worker, await whenReady(worker), options);
}

/** V8 lets short-lived garbage grow for as long as there is room: without a limit the thread's memory would rise for hours. */
const maxYoungGenerationSizeMb = 16;

/** The thread alone; it posts `ready` or `refused`. */
export function startThread(workerData: WriterData): Worker {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  return new Worker(new URL(`./writer-thread.${extension}`, import.meta.url), { workerData, name: 'store-writer', resourceLimits: { maxYoungGenerationSizeMb } });
}

/** How long what is in the journal may wait for company: a commit costs more than a command. */
const gatherMs = 20;
/** So many do not wait. */
const gatherEntries = 128;
/** The main thread blocks while the journal is written; what is larger goes by message. */
const maxJournaledBytes = 1024 * 1024;

/** The writer over a thread that is ready. @param journalDirectory as `whenReady` gave it */
export function connectWriter(worker: Worker, journalDirectory: string | null, limits: WriterLimits): StoreWriter {
  const { maxQueuedCommands = 8192, maxQueuedBytes = 64 * 1024 * 1024, onFailure, onUnwritable, onRefused } = limits;
  const waiting = new Map<number, Waiting>();
  const backlog = new Backlog();
  let journal = journalDirectory === null ? null : new Journal(journalDirectory);
  let outbox: Exclude<ToWriter, null>[number][] = [];
  let lastId = 0;
  /** The last command that went by message and not into the journal, which must not get ahead of it. */
  let lastUnjournaled: Promise<unknown> | null = null;
  /** The thread has tried all that was posted. */
  let isIdle = true;
  /** Somebody waits for the outbox, or it has waited long enough. */
  let isUrgent = false;
  let waitingBytes = 0;
  let commits = 0;
  let ending: StoreError | undefined;
  let unwritableNow: StoreError | null = null;

  const note = (failure: StoreError | null): void => {
    const isChange = (failure === null) !== (unwritableNow === null);
    unwritableNow = failure;
    if (failure !== null) backlog.release();
    if (isChange) onUnwritable?.(failure);
  };
  const settle = (outcome: PlainOutcome): void => {
    const command = waiting.get(outcome.id);
    if (command === undefined) return;
    waiting.delete(outcome.id);
    waitingBytes -= command.bytes;
    if ('error' in outcome) command.reject(toError(outcome.error));
    else command.resolve(outcome.result);
  };
  const fail = (cause: unknown): void => {
    if (ending !== undefined && waiting.size === 0) return;
    ending = new StoreError('writer_failed', `The store writer ended unexpectedly: ${cause instanceof Error ? cause.message : String(cause)}.`, { cause });
    for (const command of waiting.values()) command.reject(ending);
    waiting.clear();
    waitingBytes = 0;
    backlog.release();
    onFailure?.(ending);
  };
  // One message for all commands of a turn of the event loop, and of the time that a commit takes: a message costs more than a command.
  const post = (): void => {
    isUrgent = false;
    if (outbox.length === 0) return;
    worker.postMessage(outbox satisfies ToWriter, []);
    outbox = [];
    isIdle = false;
  };
  const postIfDue = (): void => { if (isIdle && isUrgent) post(); };
  const hurry = (): void => {
    if (isUrgent) return;
    isUrgent = true;
    setImmediate(postIfDue);
  };
  const gather = (): void => {
    const last = outbox.at(-1);
    if (outbox.length === 0) setTimeout(hurry, gatherMs);
    if (typeof last === 'number') outbox[outbox.length - 1] = last + 1;
    else outbox.push(1);
    if (last === gatherEntries) hurry();
  };
  worker.on('message', (message: FromWriter) => {
    if (message.type !== 'committed') return;
    commits++;
    backlog.settle(message.journaled);
    if (message.unwritable !== null) note(toError(message.unwritable));
    else if (message.journaled > 0 || message.outcomes.some((outcome) => !('error' in outcome))) note(null);
    for (const outcome of message.outcomes) settle(outcome);
    for (const error of message.refused) {
      journal?.close();
      journal = null;
      onRefused?.(toError(error));
    }
    isIdle = message.isIdle;
    postIfDue();
  });
  worker.on('error', fail);
  const exited = new Promise<void>((resolve) => {
    worker.on('exit', (code) => {
      fail(`exit code ${code}`);
      resolve();
    });
  });

  /** @throws StoreError where no more may wait */
  const admit = (name: CommandName, bytes: number): void => {
    if (ending !== undefined) throw ending;
    if (name !== 'completeSteps' && (waiting.size + backlog.entries >= maxQueuedCommands || waitingBytes + backlog.bytes + bytes > maxQueuedBytes)) {
      throw new StoreError('queue_full', 'The store cannot keep up; try again in a moment.');
    }
  };
  const send = (name: CommandName, argument: unknown, bytes: number): Promise<unknown> => {
    const id = ++lastId;
    waitingBytes += bytes;
    const committed = new Promise<unknown>((resolve, reject) => { waiting.set(id, { bytes, resolve, reject }); });
    outbox.push({ id, name, argument: withOwnBytes(argument) });
    hurry();
    return committed;
  };

  const writer: StoreWriter = {
    write<Name extends CommandName>(name: Name, argument: CommandArgument<Name>): Promise<CommandResult<Name>> {
      const bytes = payloadBytes(argument);
      admit(name, bytes);
      return send(name, argument, bytes) as Promise<CommandResult<Name>>; // the thread answers a command with that command's result
    },
    record(name, argument) {
      const bytes = payloadBytes(argument);
      admit(name, bytes);
      if (unwritableNow === null && lastUnjournaled === null && bytes <= maxJournaledBytes && journal?.append(name, argument) === true) {
        lastId++;
        backlog.add(bytes);
        gather();
        return name === 'completeSteps' ? backlog.room() : Promise.resolve();
      }
      const committed = send(name, argument, bytes).then(() => undefined);
      lastUnjournaled = committed;
      const passed = (): void => { if (lastUnjournaled === committed) lastUnjournaled = null; };
      committed.then(passed, passed);
      return committed;
    },
    settled() {
      if (unwritableNow !== null || ending !== undefined) return Promise.resolve();
      hurry();
      return backlog.settled();
    },
    stats: () => ({
      queuedCommands: waiting.size + backlog.entries, queuedBytes: waitingBytes + backlog.bytes,
      ahead: { entries: backlog.entries, bytes: backlog.bytes }, commands: lastId, commits, unwritable: unwritableNow,
    }),
    async close(): Promise<void> {
      if (ending === undefined) {
        ending = new StoreError('closed', 'The store writer is closed.');
        post();
        worker.postMessage(null satisfies ToWriter, []);
      }
      await exited;
      journal?.close();
    },
    [Symbol.asyncDispose]: () => writer.close(),
  };
  return writer;
}

/**
 * The directory of its journal, or null where it has none.
 * @throws StoreError what the thread met when it opened the database; `writer_failed` if it could not start.
 */
export function whenReady(worker: Worker): Promise<string | null> {
  return new Promise((resolve, reject) => {
    worker.once('message', (message: FromWriter) => {
      if (message.type === 'refused') reject(toError(message.error));
      else resolve(message.type === 'ready' ? message.journal : null);
    });
    worker.once('error', reject);
    worker.once('exit', () => { reject(new StoreError('writer_failed', 'The store writer ended before it was ready.')); });
  });
}

/** Errors lose their class on the way between threads. */
function toError({ code, message }: PlainError): StoreError {
  return new StoreError(code, message);
}
