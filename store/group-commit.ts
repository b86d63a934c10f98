/** Many commands, one transaction: the cost of a commit is shared, a failing command fails alone. */
import { prepareCommand, type PostedCommand } from './commands.ts';
import { toStoreError, unwritable, type StoreError } from './errors.ts';
import type { Database } from './open.ts';

export type Outcome =
  | { readonly id: number | null; readonly ok: true; readonly result: unknown }
  | { readonly id: number | null; readonly ok: false; readonly error: StoreError };

type Attempt<T> = { readonly ok: true; readonly result: T } | { readonly ok: false; readonly error: StoreError };
/** A command with what costs time (compression) done. It can be run again where it was rolled back. */
export type ReadyCommand = { readonly id: number | null } & Attempt<(db: Database) => unknown>;

/** @param afterEach is called after each command; so for `commitGroup` */
export function prepareGroup(group: readonly PostedCommand[], afterEach?: () => void): ReadyCommand[] {
  return group.map((command) => {
    const ready = { id: command.id, ...attempt(() => prepareCommand(command)) };
    afterEach?.();
    return ready;
  });
}

/** Runs the commands in order, each in a savepoint, and commits. When this returns, what is `ok` is durable. */
export function commitGroup(db: Database, group: readonly ReadyCommand[], afterEach?: () => void): Outcome[] {
  try {
    return db.write(() => group.map(({ id, ...command }) => {
      const outcome = command.ok ? attempt(() => db.write(() => command.result(db))) : command;
      // A database that took half of a group (and a full disk can end the transaction) is to be given all of it again.
      if (!outcome.ok && (unwritable.has(outcome.error.code) || !db.sqlite.inTransaction)) throw outcome.error;
      afterEach?.();
      return { id, ...outcome };
    }));
  } catch (error) {
    const failure = toStoreError(error, db.path);
    return group.map(({ id }) => ({ id, ok: false, error: failure }));
  }
}

function attempt<T>(work: () => T): Attempt<T> {
  try {
    return { ok: true, result: work() };
  } catch (error) {
    return { ok: false, error: toStoreError(error) };
  }
}
