import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TrainerError } from '../../trainer/error.ts';
import { effectiveConfig } from '../../trainer/round-config.ts';
import { trainerConfig } from './world.ts';

await test('overrides are laid over the configuration, key by key', () => {
  const config = trainerConfig({ optimizer: { learningRate: 0.5, beta1: 0.8 }, agents: ['a', 'b'] });
  assert.deepEqual(effectiveConfig(config, null), config);
  const effective = effectiveConfig(config, { optimizer: { learningRate: 0.25 }, agents: ['c'], epochs: 3 });
  assert.deepEqual(effective, { ...config, optimizer: { ...config.optimizer, learningRate: 0.25 }, agents: ['c'], epochs: 3 });
});

await test('another algorithm comes with its own settings; the same one keeps those it has', () => {
  const config = trainerConfig({ algorithm: { normalizeByStd: false, clipHigh: 0.3 } });
  assert.deepEqual(effectiveConfig(config, { algorithm: { name: 'ppo', lambda: 0.9 } }).algorithm, trainerConfig({ algorithm: { name: 'ppo', lambda: 0.9 } }).algorithm);
  assert.deepEqual(effectiveConfig(config, { algorithm: { name: 'grpo', clipLow: 0.1 } }).algorithm, { ...config.algorithm, clipLow: 0.1 });
});

await test('what is no configuration is refused by name', () => {
  for (const [overrides, name] of [[{ epochs: 0 }, /epochs/], [{ optimiser: {} }, /optimiser/], [{ algorithm: { lambda: 1 } }, /lambda/], ['fast', /expected object/]] as const) {
    assert.throws(() => effectiveConfig(trainerConfig(), overrides), (error) => error instanceof TrainerError && error.code === 'bad_config' && name.test(error.message) && !error.message.includes('\n'));
  }
});
