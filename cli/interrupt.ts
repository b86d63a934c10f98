/** Ctrl-C: the first asks for a clean end, the second ends the process at once. */
import { Interrupted } from './failure.ts';

export interface Interruption extends Disposable {
  /** Aborts with `Interrupted` on SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
}

/** npm passes a Ctrl-C on that the terminal has sent already: two signals this close are one. */
const sameKeyMs = 300;

export function onInterrupt(say: (text: string) => void = (text) => process.stderr.write(`${text}\n`)): Interruption {
  const controller = new AbortController();
  let firstAt = 0;
  const handle = () => {
    if (controller.signal.aborted) {
      if (performance.now() - firstAt < sameKeyMs) return;
      process.exit(130);
    }
    firstAt = performance.now();
    say('\nStopping; once more to stop at once.');
    controller.abort(new Interrupted());
  };
  process.on('SIGINT', handle);
  process.on('SIGTERM', handle);
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      process.off('SIGINT', handle);
      process.off('SIGTERM', handle);
    },
  };
}
