import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TrainerError } from '../../trainer/error.ts';
import { trackProgress } from '../../trainer/round-progress.ts';

await test('progress is written a few times a second, and time is counted by phase', () => {
  const written: unknown[] = [];
  let now = 0;
  const progress = trackProgress((at) => { written.push(at); }, new AbortController().signal, () => now);
  progress.phase('select');
  now = 2000;
  progress.phase('self-test');
  now = 2500;
  progress.phase('train', 3);
  for (const time of [2600, 2900, 3000]) {
    now = time;
    progress.advance();
  }
  assert.deepEqual(written, [
    { phase: 'select', done: 0, total: 1 }, { phase: 'self-test', done: 0, total: 1 }, { phase: 'train', done: 0, total: 3 }, { phase: 'train', done: 2, total: 3 },
  ]);
  assert.deepEqual(progress.seconds(), { secondsSelect: 2, secondsSelfTest: 0.5, secondsTrain: 0.5, secondsTotal: 3 });
  now = 4000;
  assert.equal(progress.seconds()['secondsTrain'], 1.5);
});

await test('a stop is noticed at the next unit of work', () => {
  const stop = new AbortController();
  const progress = trackProgress(() => {}, stop.signal);
  progress.phase('train', 2);
  progress.advance();
  stop.abort();
  for (const work of [() => { progress.advance(); }, () => { progress.check(); }, () => { progress.phase('publish'); }]) {
    assert.throws(work, (error) => error instanceof TrainerError && error.code === 'stopped');
  }
});
