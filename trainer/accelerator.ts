/** The accelerator that the trainer shares with the servers of its policy: theirs, but for the time of a round. */
import { acceleratorState, setAcceleratorState } from '../store/accelerator.ts';
import { watchChanges } from '../store/changes.ts';
import type { Database } from '../store/open.ts';
import { TrainerError } from './error.ts';

/**
 * Waits until the servers sleep. Disposing of it gives the accelerator back.
 * @throws TrainerError `stopped` when the signal aborts, `no_accelerator` where the proxy could not put the servers to sleep
 */
export async function borrowAccelerator(db: Database, pollMs: number, signal: AbortSignal): Promise<Disposable> {
  setAcceleratorState(db, 'wanted');
  for await (const _ of watchChanges(db, pollMs, signal)) {
    const state = acceleratorState(db);
    if (state === 'training') return { [Symbol.dispose]: () => { setAcceleratorState(db, 'serving'); } };
    if (state === 'serving') throw new TrainerError('no_accelerator', 'The servers could not be put to sleep, so there is no memory to train in; the proxy\'s log says why.');
  }
  setAcceleratorState(db, 'serving');
  throw new TrainerError('stopped', 'The trainer was told to end.');
}
