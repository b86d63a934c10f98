/** Reads the stored reference numbers (test/fixtures/golden/README.md says how they were made). */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';

export function goldenPath(name: string): string {
  return fileURLToPath(new URL(`../fixtures/golden/${name}`, import.meta.url));
}

/** max |actual − expected| ≤ absolute + relative · max |expected| */
export function assertClose(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: { absolute?: number; relative?: number }, what: string): void {
  assert.equal(actual.length, expected.length, `${what}: length`);
  const scale = Array.from(expected).reduce((max, x) => Math.max(max, Math.abs(x)), 0);
  const limit = (tolerance.absolute ?? 0) + (tolerance.relative ?? 0) * scale;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs((actual[i] ?? NaN) - (expected[i] ?? NaN));
    assert.ok(difference <= limit, `${what}[${i}]: ${actual[i]} should be ${expected[i]} within ${limit}`);
  }
}
