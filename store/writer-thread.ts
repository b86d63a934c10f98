/** The writer thread: owns the one writing connection of its process. Started by `writer.ts` only. */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { PostedCommand } from './commands.ts';
import { toStoreError, unwritable, type StoreErrorCode } from './errors.ts';
import { openGiveWay } from './give-way.ts';
import { HeldCommits } from './held-commits.ts';
import { ownJournal } from './journal/directory.ts';
import { JournalReader } from './journal/reader.ts';
import { openDatabase, type OpenOptions } from './open.ts';

/** In order; a number stands for as many entries of the journal. `null`: commit what came before, then end. */
export type ToWriter = readonly (PostedCommand | number)[] | null;
export type FromWriter =
  /** @property journal a directory for the main thread to append to; null where commits are waited for */
  | { readonly type: 'ready'; readonly journal: string | null }
  | { readonly type: 'refused'; readonly error: PlainError }
  | Committed;
export interface Committed {
  readonly type: 'committed';
  readonly outcomes: readonly PlainOutcome[];
  /** The next so many entries of the journal are done with: in the database, but for those that it refused. */
  readonly journaled: number;
  readonly refused: readonly PlainError[];
  /** Why the database took nothing. */
  readonly unwritable: PlainError | null;
  /** All that was posted has been tried. */
  readonly isIdle: boolean;
}
/** Errors lose their class on the way between threads. */
export type PlainError = { readonly code: StoreErrorCode; readonly message: string };
export type PlainOutcome = { readonly id: number; readonly result: unknown } | { readonly id: number; readonly error: PlainError };
export interface WriterData extends Omit<OpenOptions, 'readonly'> { readonly dataDir: string }

/** Commands in one transaction at most: bounds how long the first of them waits for its answer. */
const maxGroup = 512;
/** Where it has fallen so far behind, or others have held it up for so long, the thread takes its share of the processor: clients are held before it gets much further behind. */
const hurriesFrom = 256;
const hurriesAfterMs = 50;
/** What the journal holds is tried again for as long as it takes. */
const retryMs = 250;

if (parentPort === null) throw new Error('This file is the body of a worker thread.');
const port = parentPort;
const post = (message: FromWriter): void => { port.postMessage(message); };

try {
  serve(workerData as WriterData); // given by writer.ts
} catch (error) {
  post({ type: 'refused', error: plain(toStoreError(error)) });
}

function serve({ dataDir, durability = 'process', busyTimeoutMs = 10_000 }: WriterData): void {
  const db = openDatabase(dataDir, { durability, busyTimeoutMs });
  const journal = durability === 'process' ? ownJournal(db.dataDir) : null;
  const reader = journal && new JournalReader(journal.directory);
  let waiting: PostedCommand[] = [];
  const giveWay = openGiveWay();
  let startedAt = 0;
  const held = new HeldCommits(db, busyTimeoutMs, () => { if (waiting.length < hurriesFrom && performance.now() - startedAt < hurriesAfterMs) giveWay(); });
  let retrying: NodeJS.Timeout | undefined;

  /** False: the database takes nothing now. What is in the journal stays, and goes first the next time. */
  const commitNext = (isIdle: () => boolean): boolean => {
    const group = waiting.slice(0, maxGroup);
    startedAt = performance.now();
    const outcomes = held.commit(group);
    const failure = outcomes.find((outcome) => !outcome.ok && unwritable.has(outcome.error.code));
    if (failure !== undefined && !failure.ok) {
      const unwritten = plain(failure.error);
      const failed = waiting.filter(({ id }) => id !== null);
      waiting = waiting.filter(({ id }) => id === null);
      post({ type: 'committed', outcomes: failed.map(({ id }) => ({ id: id ?? 0, error: unwritten })), journaled: 0, refused: [], unwritable: unwritten, isIdle: true });
      return false;
    }
    waiting = waiting.slice(group.length);
    if (waiting.length === 0) reader?.release();
    post({
      type: 'committed', isIdle: isIdle(), unwritable: null,
      journaled: group.filter(({ id }) => id === null).length,
      outcomes: outcomes.flatMap((outcome) => (outcome.id === null ? [] : outcome.ok ? { id: outcome.id, result: outcome.result } : { id: outcome.id, error: plain(outcome.error) })),
      refused: outcomes.flatMap((outcome) => (outcome.id !== null || outcome.ok ? [] : plain(outcome.error))),
    });
    return true;
  };
  const take = (batch: ToWriter): void => {
    for (const item of batch ?? []) {
      if (typeof item === 'number') waiting.push(...(reader?.read(item) ?? []).map((entry) => ({ id: null, ...entry })));
      else waiting.push(item);
    }
  };
  const commitAll = (first: ToWriter): void => {
    clearTimeout(retrying);
    let ended = first === null;
    take(first);
    while (waiting.length > 0) {
      // Everything that was posted while the last commit ran is in the port by now: take it all into this one.
      for (let next; !ended && waiting.length < maxGroup && (next = receiveMessageOnPort(port)) !== undefined;) {
        const batch = next.message as ToWriter; // writer.ts posts nothing else
        ended = batch === null;
        take(batch);
      }
      if (commitNext(() => waiting.length === 0)) continue;
      if (!ended) retrying = setTimeout(() => { commitAll([]); }, retryMs);
      break;
    }
    if (ended) end();
  };
  /** What could not be written stays in the journal, for the next process. */
  const end = (): void => {
    reader?.close();
    db.close();
    journal?.close(waiting.length === 0);
    port.close();
  };
  port.on('message', commitAll);
  post({ type: 'ready', journal: journal?.directory ?? null });
}

function plain({ code, message }: { readonly code: StoreErrorCode; readonly message: string }): PlainError {
  return { code, message };
}
