import assert from 'node:assert/strict';
import { test } from 'node:test';
import { philox4x32, uniform } from '../../engine/random.ts';

const hex = (words: readonly number[]) => words.map((word) => word.toString(16).padStart(8, '0')).join(' ');

// Known answers: Random123 distribution, tests/kat_vectors, "philox4x32 10".
await test('philox4x32-10 gives the published answers', () => {
  assert.equal(hex(philox4x32([0, 0, 0, 0], [0, 0])), '6627e8d5 e169c58d bc57ac4c 9b00dbd8');
  const ones = 0xffffffff;
  assert.equal(hex(philox4x32([ones, ones, ones, ones], [ones, ones])), '408f276d 41c83b0e a20bc7c6 6d5451fd');
  assert.equal(
    hex(philox4x32([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0])),
    'd16cfe09 94fdcceb 5001e420 24126ea1');
});

await test('uniform numbers are in [0, 1), even, and differ by seed, choice and position', () => {
  const draws = Array.from({ length: 20_000 }, (_, position) => uniform(7, 0, position));
  assert.ok(draws.every((u) => u >= 0 && u < 1));
  const mean = draws.reduce((sum, u) => sum + u, 0) / draws.length;
  assert.ok(Math.abs(mean - 0.5) < 0.01, `mean ${mean}`);
  const bins = Array.from({ length: 16 }, () => 0);
  for (const u of draws) bins[Math.floor(u * 16)] = (bins[Math.floor(u * 16)] ?? 0) + 1;
  assert.ok(bins.every((count) => Math.abs(count - 1250) < 200), bins.join(' '));
  const seeds = [0, 1, -1, 2 ** 32, 2 ** 52, -(2 ** 40)];
  const distinct = new Set(seeds.flatMap((seed) => [0, 1].flatMap((choice) => [0, 1].map((position) => uniform(seed, choice, position)))));
  assert.equal(distinct.size, seeds.length * 4);
});
