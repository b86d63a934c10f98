/** Many commands, one transaction: the cost of a commit is shared, a failing command fails alone. */
import { prepareCommand, type PostedCommand } from './commands.ts';
import { toStoreError, type StoreError } from './errors.ts';
import type { Database } from './open.ts';

export type Outcome =
  | { readonly id: number; readonly ok: true; readonly result: unknown }
  | { readonly id: number; readonly ok: false; readonly error: StoreError };

/** Runs the commands in order, each in a savepoint, and commits. When this returns, what is `ok` is durable. */
export function commitGroup(db: Database, group: readonly PostedCommand[]): Outcome[] {
  const ready = group.map((command) => ({ id: command.id, run: attempt(() => prepareCommand(command)) }));
  try {
    return db.write(() => ready.map(({ id, run }) => {
      const outcome = run.ok ? attempt(() => db.write(() => run.result(db))) : run;
      // Errors like a full disk can end the whole transaction: then no command of the group was kept.
      if (!outcome.ok && !db.sqlite.inTransaction) throw outcome.error;
      return { id, ...outcome };
    }));
  } catch (error) {
    const failure = toStoreError(error, db.path);
    return group.map(({ id }) => ({ id, ok: false, error: failure }));
  }
}

function attempt<T>(work: () => T): { ok: true; result: T } | { ok: false; error: StoreError } {
  try {
    return { ok: true, result: work() };
  } catch (error) {
    return { ok: false, error: toStoreError(error) };
  }
}
