/** What the database cannot take now (locked, disk full, read-only) is held and tried again, for a while. Blocks its thread. */
import type { PostedCommand } from './commands.ts';
import { unwritable } from './errors.ts';
import { commitGroup, prepareGroup, type Outcome } from './group-commit.ts';
import type { Database } from './open.ts';

/** SQLite's own wait for a lock within one try. */
const lockWaitMs = 100;
const retryMs = 25;

export class HeldCommits {
  readonly #db: Database;
  readonly #holdMs: number;
  readonly #afterEach: (() => void) | undefined;
  /** The last group was given up: until one gets through, groups are tried once, so that nobody waits for what does not come. */
  #gaveUp = false;

  /** @param afterEach is called after each command's preparation, and after its part of the transaction */
  constructor(db: Database, holdMs: number, afterEach?: () => void) {
    this.#db = db;
    this.#holdMs = holdMs;
    this.#afterEach = afterEach;
    db.sqlite.pragma(`busy_timeout = ${Math.min(lockWaitMs, holdMs)}`);
  }

  /** As `commitGroup`; what is unwritable still after `holdMs` fails, the whole group. */
  commit(group: readonly PostedCommand[]): Outcome[] {
    const ready = prepareGroup(group, this.#afterEach);
    const deadline = performance.now() + (this.#gaveUp ? 0 : this.#holdMs);
    for (;;) {
      const outcomes = commitGroup(this.#db, ready, this.#afterEach);
      const isUnwritable = outcomes.some((outcome) => !outcome.ok && unwritable.has(outcome.error.code));
      this.#gaveUp = isUnwritable && performance.now() >= deadline;
      if (!isUnwritable || this.#gaveUp) return outcomes;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, retryMs);
    }
  }
}
