/** The writer thread: owns the one writing connection of its process. Started by `writer.ts` only. */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { PostedCommand } from './commands.ts';
import { toStoreError, type StoreErrorCode } from './errors.ts';
import { HeldCommits } from './held-commits.ts';
import { openDatabase, type OpenOptions } from './open.ts';

/** `null`: commit what came before, then end. */
export type ToWriter = readonly PostedCommand[] | null;
export type FromWriter =
  | { readonly type: 'ready' }
  | { readonly type: 'refused'; readonly error: PlainError }
  | { readonly type: 'committed'; readonly outcomes: readonly PlainOutcome[] };
/** Errors lose their class on the way between threads. */
export type PlainError = { readonly code: StoreErrorCode; readonly message: string };
export type PlainOutcome = { readonly id: number; readonly result: unknown } | { readonly id: number; readonly error: PlainError };
export interface WriterData extends Omit<OpenOptions, 'readonly'> { readonly dataDir: string }

/** Commands in one transaction at most: bounds how long the first of them waits for its answer. */
const maxGroup = 512;

if (parentPort === null) throw new Error('This file is the body of a worker thread.');
const port = parentPort;
const post = (message: FromWriter): void => { port.postMessage(message); };

try {
  serve(workerData as WriterData); // given by writer.ts
} catch (error) {
  const { code, message } = toStoreError(error);
  post({ type: 'refused', error: { code, message } });
}

function serve({ dataDir, durability, busyTimeoutMs = 10_000 }: WriterData): void {
  const db = openDatabase(dataDir, { durability, busyTimeoutMs });
  const held = new HeldCommits(db, busyTimeoutMs);
  port.on('message', (first: ToWriter) => {
    let ended = first === null;
    const waiting: PostedCommand[] = [...first ?? []];
    // Everything that was posted while the last commit ran is in the port by now: take it all into this one.
    while (waiting.length > 0) {
      for (let next; !ended && waiting.length < maxGroup && (next = receiveMessageOnPort(port)) !== undefined;) {
        const batch = next.message as ToWriter; // writer.ts posts nothing else
        if (batch === null) ended = true;
        else waiting.push(...batch);
      }
      const outcomes = held.commit(waiting.splice(0, maxGroup));
      post({
        type: 'committed',
        outcomes: outcomes.map((outcome) => (outcome.ok
          ? { id: outcome.id, result: outcome.result }
          : { id: outcome.id, error: { code: outcome.error.code, message: outcome.error.message } })),
      });
    }
    if (ended) {
      db.close();
      port.close();
    }
  });
  post({ type: 'ready' });
}
