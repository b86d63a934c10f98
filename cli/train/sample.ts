/** Which tasks a round takes. */
import { seededRandom, shuffled } from '../../trainer/random.ts';
import type { Task } from '../tasks.ts';

/** An endless, seeded order: every pass is a new shuffle. The same seed gives the same order. */
export function* taskOrder(tasks: readonly Task[], seed: number): Generator<Task, never> {
  const random = seededRandom(seed);
  for (;;) yield* shuffled(tasks, random);
}

/** The next `count` different tasks; one that comes twice, at the seam of two passes, is skipped the second time. */
export function takeDistinct(order: Iterator<Task, never>, count: number): Task[] {
  const taken = new Map<string, Task>();
  while (taken.size < count) {
    const { value: task } = order.next();
    taken.set(task.id, task);
  }
  return [...taken.values()];
}
