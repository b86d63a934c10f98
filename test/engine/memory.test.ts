import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EngineError } from '../../engine/engine.ts';
import { describeNeeds, memoryNeeds, requireMemory } from '../../engine/memory.ts';
import { openGolden } from '../model/golden.ts';

const { config } = openGolden('llama-tied');
const options = { maxContext: 64, maxRows: 4, prefixCacheBytes: 1024 };

await test('keys and values grow with rows and context, up to what the model can', () => {
  const needs = memoryNeeds(config, options);
  assert.equal(needs.keysAndValues, 4 * 64 * config.layers * 2 * config.kvHeads * Math.ceil(config.headDim / 8) * 8 * 4);
  assert.equal(memoryNeeds(config, { ...options, maxRows: 8 }).keysAndValues, 2 * needs.keysAndValues);
  assert.deepEqual(memoryNeeds(config, { ...options, maxContext: 1e9 }), memoryNeeds(config, { ...options, maxContext: config.maxPositions }));
  assert.equal(needs.total, needs.weights + needs.keysAndValues + 1024);
});

await test('8 bits take less', () => {
  assert.ok(memoryNeeds(config, { ...options, weights: 'int8' }).weights < 0.6 * memoryNeeds(config, options).weights);
});

await test('what does not fit is refused with the numbers', () => {
  const needs = { weights: 3 * 2 ** 20, keysAndValues: 2 ** 21, prefixes: 0, total: 5 * 2 ** 20 };
  assert.doesNotThrow(() => { requireMemory(needs, needs.total); });
  assert.equal(describeNeeds(needs), 'at most 5 MiB: 3 for weights, 2 for keys and values of running requests, 0 for prefixes to reuse');
  assert.throws(() => { requireMemory(needs, 4 * 2 ** 20); }, (error) => error instanceof EngineError && error.code === 'out_of_memory' && /at most 5 MiB.*; 4 MiB are available\. Lower backend\.maxRows/.test(error.message));
});
