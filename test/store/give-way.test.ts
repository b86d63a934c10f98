import assert from 'node:assert/strict';
import { it } from 'node:test';
import { openGiveWay } from '../../store/give-way.ts';

it('goes to the system each time', { skip: process.platform === 'win32' && 'there is none' }, () => {
  const giveWay = openGiveWay();
  const before = process.cpuUsage();
  for (let i = 0; i < 200_000; i++) giveWay();
  assert.ok(process.cpuUsage(before).system > 10_000, 'it spends its time in the kernel, 0.1 us or more each'); // microseconds
});
