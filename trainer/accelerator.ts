/** The accelerator that the trainer shares with the servers of its policy: theirs, but for the time of a round. */
import { acceleratorState, setAcceleratorState } from '../store/accelerator.ts';
import { watchChanges } from '../store/changes.ts';
import type { Database } from '../store/open.ts';
import { TrainerError } from './error.ts';

export interface Borrowing {
  readonly db: Database;
  readonly pollMs: number;
  readonly signal: AbortSignal;
  /** Frees what the trainer has on it, before it goes back. */
  readonly free: () => Promise<void>;
}

/**
 * Waits until the servers sleep. Disposing of it gives the accelerator back.
 * @throws TrainerError `stopped` when the signal aborts, `no_accelerator` where the proxy could not put the servers to sleep
 */
export async function borrowAccelerator({ db, pollMs, signal, free }: Borrowing): Promise<AsyncDisposable> {
  setAcceleratorState(db, 'wanted');
  for await (const _ of watchChanges(db, pollMs, signal)) {
    const state = acceleratorState(db);
    if (state === 'serving') throw new TrainerError('no_accelerator', 'The servers could not be put to sleep, so there is no memory to train in; the proxy\'s log says why.');
    if (state === 'wanted') continue;
    return {
      async [Symbol.asyncDispose]() {
        await free();
        setAcceleratorState(db, 'serving');
      },
    };
  }
  setAcceleratorState(db, 'serving');
  throw new TrainerError('stopped', 'The trainer was told to end.');
}
