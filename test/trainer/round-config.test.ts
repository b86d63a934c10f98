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

await test('what is no configuration is refused by name', () => {
  for (const [overrides, name] of [[{ epochs: 0 }, /epochs/], [{ optimiser: {} }, /optimiser/], ['fast', /expected object/]] as const) {
    assert.throws(() => effectiveConfig(trainerConfig(), overrides), (error) => error instanceof TrainerError && error.code === 'bad_config' && name.test(error.message) && !error.message.includes('\n'));
  }
});
