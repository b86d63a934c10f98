import assert from 'node:assert/strict';
import { test } from 'node:test';
import { availableBytes, planMemory, residentPeak } from '../../../trainer/backends/memory.ts';

const MIB = 2 ** 20;
const needs = { keeping: () => 900 * MIB, recomputing: () => 400 * MIB };

test('what fits is kept, what does not is computed again', () => {
  assert.equal(planMemory({ recompute: 'auto' }, needs, 1000 * MIB).recompute, false);
  assert.equal(planMemory({ recompute: 'auto' }, needs, 800 * MIB).recompute, true);
  assert.equal(planMemory({ recompute: 'always' }, needs, 1000 * MIB).recompute, true);
  assert.equal(planMemory({ recompute: 'never' }, needs, 1000 * MIB).recompute, false);
});

test('what fits in neither way is refused, with what to do', () => {
  assert.throws(() => planMemory({ recompute: 'auto' }, needs, 300 * MIB), { code: 'not_enough_memory', message: 'Training on a micro-batch of this round would take 400 MiB of memory, and 300 MiB are there: lower trainer.tokensPerMicroBatch, or raise trainer.maxMemoryMb.' });
  assert.throws(() => planMemory({ recompute: 'never' }, needs, 500 * MIB), { code: 'not_enough_memory', message: /take 900 MiB.*set trainer\.recompute to auto \(then 400 MiB are enough\)/ });
});

test('the limit is the configured one, or what the process has and the machine has left', () => {
  const standing = { resident: 200 * MIB, weights: 500 * MIB, parameters: 20 * MIB };
  assert.equal(availableBytes(standing, { recompute: 'auto', maxMemoryMb: 700 }), 700 * MIB);
  assert.ok(availableBytes(standing, { recompute: 'auto' }) > 200 * MIB);
  assert.ok(residentPeak(standing, 100 * MIB) > 200 * MIB + 500 * MIB + 20 * MIB + 100 * MIB);
});
