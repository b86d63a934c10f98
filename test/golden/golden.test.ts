/** Every stored reference number (test/fixtures/golden). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { skipWithoutSmollm2 } from '../fixtures/smollm2/find.ts';
import { groups } from './groups.ts';
import { runGroup } from './run.ts';

const set = fileURLToPath(new URL('../fixtures/golden/', import.meta.url));

for (const [name, group] of Object.entries(groups)) {
  test(name, async () => {
    const { failures, skipped, passed } = await runGroup(name, group, set);
    assert.deepEqual(failures, []);
    assert.ok(passed > 0);
    if (skipWithoutSmollm2 === false) assert.deepEqual([...skipped], []);
  });
}
