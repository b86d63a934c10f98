import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Backlog } from '../../store/backlog.ts';

/** The names of those that have been let go so far. */
function watch(waits: Readonly<Record<string, Promise<void>>>): () => Promise<string[]> {
  const over: string[] = [];
  for (const [name, wait] of Object.entries(waits)) void wait.then(() => over.push(name));
  return async () => {
    await new Promise((resolve) => { setImmediate(resolve); });
    return over;
  };
}

it('whoever waits for all that came before is not held by what comes later', async () => {
  const backlog = new Backlog();
  const empty = backlog.settled();
  backlog.add(10);
  const one = backlog.settled();
  backlog.add(20);
  const over = watch({ empty, one, two: backlog.settled() });
  assert.deepEqual([await over(), backlog.entries, backlog.bytes], [['empty'], 2, 30]);
  backlog.settle(1);
  assert.deepEqual([await over(), backlog.entries, backlog.bytes], [['empty', 'one'], 1, 20]);
  backlog.settle(1);
  assert.deepEqual(await over(), ['empty', 'one', 'two']);
});

it('there is room until the database is too far behind, in entries or in bytes', async () => {
  const [many, large] = [new Backlog(), new Backlog()];
  for (let n = 0; n < 1025; n++) many.add(1);
  large.add(9 * 1024 * 1024);
  const over = watch({ many: many.room(), large: large.room(), fresh: new Backlog().room() });
  assert.deepEqual(await over(), ['fresh']);
  many.settle(1);
  large.settle(1);
  assert.deepEqual(await over(), ['fresh', 'many', 'large']);
});

it('nobody waits for a database that takes nothing', async () => {
  const backlog = new Backlog();
  backlog.add(9 * 1024 * 1024);
  const over = watch({ settled: backlog.settled(), room: backlog.room() });
  backlog.release();
  assert.deepEqual(await over(), ['settled', 'room']);
  assert.equal(backlog.entries, 1);
});
