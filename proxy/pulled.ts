/** From a source that pushes to a reader that pulls. */

/** Given what comes, in order. Where it returns a promise, its source is held back until that resolves; where it throws or rejects, the source ends. */
export type Take<T> = (item: T) => Promise<void> | undefined;

/** What a source pushes, one item for each pull: it is held back between them. Leaving early ends it, and waits for its end. */
export async function* pulled<T>(push: (take: Take<T>) => Promise<void>): AsyncGenerator<T, void, void> {
  const ended = Symbol('ended');
  let given = Promise.withResolvers<T | typeof ended>();
  let pull = Promise.withResolvers<void>();
  const take = (item: T): Promise<void> => {
    pull = Promise.withResolvers();
    given.resolve(item);
    return pull.promise;
  };
  const pushing = (async () => {
    try {
      await push(take);
      given.resolve(ended);
    } catch (error) {
      given.promise.catch(() => undefined); // whoever has left does not hear of it
      given.reject(error);
    }
  })();
  try {
    for (let item; (item = await given.promise) !== ended;) {
      given = Promise.withResolvers();
      yield item;
      pull.resolve();
    }
  } finally {
    pull.promise.catch(() => undefined);
    pull.reject(new Error('The reader has left.'));
    await pushing;
  }
}
