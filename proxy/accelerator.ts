/** Lets the backend's servers sleep while the trainer computes on their accelerator. */
import { acceleratorState } from '../store/accelerator.ts';
import { watchChanges } from '../store/changes.ts';
import type { Database } from '../store/open.ts';
import type { StoreWriter } from '../store/writer.ts';
import type { PolicyBackend } from './backends/backend.ts';
import type { Log } from './log.ts';

export interface AcceleratorParts {
  readonly db: Database;
  readonly writer: StoreWriter;
  readonly backend: PolicyBackend;
  readonly log: Log;
}

const watchMs = 50;

/** Ends when disposed of; servers that sleep then go on sleeping, since the trainer may be at work. */
export function followAccelerator({ db, writer, backend, log }: AcceleratorParts): AsyncDisposable {
  const end = new AbortController();
  let isResting = false;
  const follow = async (): Promise<void> => {
    const state = acceleratorState(db);
    if (state === 'serving') {
      if (isResting) await backend.wake?.();
      isResting = false;
      return;
    }
    if (!isResting) await backend.rest?.();
    isResting = true;
    if (state === 'wanted') await writer.write('setAcceleratorState', 'training');
  };
  const following = (async () => {
    for await (const _ of watchChanges(db, watchMs, end.signal)) {
      await follow().catch(async (error: unknown) => {
        log.error(`The servers' accelerator cannot be shared now: ${error instanceof Error ? error.message : String(error)}`);
        // Neither side waits for the other: the trainer is refused, calls go on.
        isResting = true;
        await writer.write('setAcceleratorState', 'serving');
      }).catch((error: unknown) => { log.error(String(error)); });
    }
  })();
  return {
    async [Symbol.asyncDispose]() {
      end.abort();
      await following;
    },
  };
}
