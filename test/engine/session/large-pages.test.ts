/** What was mapped since lies in large pages afterwards, and holds what it held. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { test } from 'node:test';
import { watchMemory } from '../../../engine/session/large-pages.ts';

const [major = 0, minor = 0] = release().split('.').map(Number);
const skip = process.platform !== 'linux' ? 'Linux only' : major * 100 + minor < 601 ? 'Linux 6.1 or later' : false;
const COUNT = 16 * 2 ** 20;

/** Of the process, in bytes. */
function inLargePages(): number {
  const [, kilobytes] = /^AnonHugePages:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/smaps_rollup', 'latin1')) ?? [];
  return Number(kilobytes) * 1024;
}

await test('memory that was mapped since is gathered', { skip }, async () => {
  const old = new Float32Array(COUNT).fill(1);
  const gather = watchMemory();
  const numbers = new Float32Array(COUNT);
  for (let i = 0; i < COUNT; i++) numbers[i] = i;
  const before = inLargePages();
  const gathered = await gather();
  assert.ok(gathered >= 0.8 * numbers.byteLength && gathered < 1.9 * numbers.byteLength, `${gathered} bytes`);
  assert.ok(inLargePages() - before >= 0.8 * numbers.byteLength, 'not in large pages');
  assert.ok(numbers.every((number, i) => number === i) && old.every((number) => number === 1));
});
