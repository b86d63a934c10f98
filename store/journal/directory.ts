/** Where journals lie: `<dataDir>/journal/<owner>/<number>.log`, beside the lock that their owner holds for as long as it lives. */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { tryLock } from '../lock.ts';

const folder = 'journal';
export const lockName = 'owner';

export interface OwnJournal {
  readonly directory: string;
  /** @param isSettled all of it is in the database; else it is left for the next process */
  close(isSettled: boolean): void;
}

/** A new journal's directory, ours until it is closed or the process ends. @throws StoreError, or the file system's error */
export function ownJournal(dataDir: string): OwnJournal {
  for (;;) {
    const directory = join(dataDir, folder, `${Date.now().toString(36)}-${randomBytes(4).toString('hex')}`);
    mkdirSync(directory, { recursive: true });
    const lock = tryLock(directory, lockName);
    // Else somebody who looked for what a dead process left was quicker.
    if (lock !== null) return { directory, close: (isSettled) => {
      if (isSettled) rmSync(directory, { recursive: true, force: true });
      lock[Symbol.dispose]();
    } };
  }
}

/** The directories of all journals, live and dead, oldest first. One without a lock is just being made. */
export function journalsIn(dataDir: string): string[] {
  return namesIn(join(dataDir, folder)).sort().map((name) => join(dataDir, folder, name)).filter((directory) => namesIn(directory).includes(`${lockName}.lock`));
}

/** A journal's files by their numbers, in the order in which they were written. */
export function filesOf(directory: string): number[] {
  return namesIn(directory).flatMap((name) => /^(\d+)\.log$/.exec(name)?.[1] ?? []).map(Number).sort((a, b) => a - b);
}

export const fileOf = (directory: string, number: number): string => join(directory, `${number}.log`);

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}
