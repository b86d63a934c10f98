/**
 * Letting others have the core between two pieces of work. Linux lets a thread run to the end of its slice, or to the next tick of up to 4 ms, and whoever wakes on its core waits for that: with few cores
 * it was what slow calls waited for. Where nobody waits it costs less than a microsecond.
 */
import { createRequire } from 'node:module';
import type Koffi from 'koffi';

/** sched_yield(2); nothing where there is none, or where native functions cannot be called. */
export function openGiveWay(): () => void {
  if (process.platform === 'win32') return () => undefined;
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof Koffi;
    const schedYield: unknown = koffi.load(null).func('int sched_yield()');
    return schedYield as () => number; // as it was declared
  } catch {
    return () => undefined;
  }
}
