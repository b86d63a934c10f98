/** Runs jobs in order, at most `limit` at a time. */

/** Resolves when all are done. The first error in time stops new jobs, waits for the running ones, and is thrown. */
export async function forEachParallel<T>(items: readonly T[], limit: number, job: (item: T) => Promise<void>): Promise<void> {
  const waiting = items.values();
  const errors: unknown[] = [];
  const worker = async () => {
    for (const item of waiting) {
      try {
        await job(item);
      } catch (error) {
        errors.push(error); // thrown below, once the others have ended
      }
      if (errors.length > 0) return;
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  if (errors.length > 0) throw errors[0];
}
