import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Progress } from '../../../cli/terminal/progress.ts';

function record(isTTY: boolean) {
  const written: string[] = [];
  const clock = { now: 0 };
  const progress = new Progress({ isTTY, columns: 20, write: (text: string) => written.push(text) }, () => clock.now);
  return { written, clock, progress };
}

test('on a terminal one line is rewritten, no wider than it, and lines that stay take its place', () => {
  const { written, clock, progress } = record(true);
  progress.update('rollouts 1/2');
  progress.update('too soon');
  clock.now += 100;
  progress.update('x'.repeat(100));
  progress.line('round 1 done');
  progress.update('next');
  progress.clear();
  assert.deepEqual(written, ['\r\u001b[2Krollouts 1/2', `\r\u001b[2K${'x'.repeat(19)}`, '\r\u001b[2Kround 1 done\n', '\r\u001b[2Knext', '\r\u001b[2K']);
});

test('elsewhere a plain line comes when nothing was written for ten seconds', () => {
  const { written, clock, progress } = record(false);
  progress.update('at once');
  clock.now += 9_000;
  progress.line('round 1 done');
  clock.now += 9_000;
  progress.update('not yet');
  clock.now += 1_000;
  progress.update('rollouts 7/9');
  progress.clear();
  assert.deepEqual(written, ['round 1 done\n', 'rollouts 7/9\n']);
});
