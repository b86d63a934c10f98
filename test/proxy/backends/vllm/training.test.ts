/** A policy that vLLM serves and the embedded trainer trains: from recorded calls to the adapter on the server. */
import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { configSchema } from '../../../../config/schema.ts';
import { createLog } from '../../../../proxy/log.ts';
import { startProxy } from '../../../../proxy/main.ts';
import { acceleratorState } from '../../../../store/accelerator.ts';
import { findRound, requestRound } from '../../../../store/rounds.ts';
import { runTrainer } from '../../../../trainer/main.ts';
import { policyVersion } from '../../../../trainer/policy.ts';
import { goldenPath } from '../../../trainer/golden.ts';
import { collect, makeWorld, trainerConfig } from '../../../trainer/world.ts';
import { until } from '../../harness.ts';
import { FakeVllm } from './fake-vllm.ts';

for (const sleepWhileTraining of [false, true]) {
  test(`the trainer publishes an adapter, and the server has it${sleepWhileTraining ? ', having slept meanwhile' : ''}`, async () => {
    await using world = makeWorld();
    await using server = await FakeVllm.start();
    const { db } = world;
    const model = join(db.dataDir, 'model');
    cpSync(world.model.path, model, { recursive: true, filter: (source) => !source.includes('lora') });
    cpSync(goldenPath('tokenizers/qwen/tokenizer.json'), join(model, 'tokenizer.json'));
    const config = configSchema.parse({
      dataDir: db.dataDir, server: { port: 0 }, trainer: { ...trainerConfig({ optimizer: { learningRate: 0.02 } }), pollMs: 10 },
      backend: { kind: 'vllm', baseUrls: [server.baseUrl], model, healthMs: 20, sleepWhileTraining },
    });
    await using proxy = await startProxy(config, { env: {}, log: createLog('silent') });
    await until(async () => (await proxy.backend.health()).ok);
    const policy = await world.policy(config.trainer);
    policy.load(policyVersion(db, 0), 1);
    await collect(db, policy.learner, { tasks: 2, group: 4, seed: 0, version: 0 });

    const end = new AbortController();
    const trainer = runTrainer(config, end.signal, () => {});
    const { id } = requestRound(db, { seed: 1 });
    await until(() => !['requested', 'running'].includes(findRound(db, id)?.state ?? ''), 60_000);
    assert.equal(findRound(db, id)?.state, 'promoted', findRound(db, id)?.error ?? '');
    await until(() => proxy.backend.currentVersion() === 1);
    end.abort();
    await trainer;
    const [name] = server.adapters.keys();
    assert.match(name ?? '', /^fulgurite-1-[\da-f]{12}$/);
    assert.equal(server.asked.find(({ path }) => path.endsWith('/load_lora_adapter'))?.body['lora_path'], join(db.dataDir, 'policies', '1'));
    // Asleep before the round, awake before the adapter came.
    const turns = server.asked.map(({ path }) => path.replace(/^\/v1/, '')).filter((path) => !path.endsWith('completions'));
    assert.deepEqual(turns, sleepWhileTraining ? ['/wake_up', '/sleep?level=1', '/wake_up', '/load_lora_adapter'] : ['/load_lora_adapter']);
    assert.equal(acceleratorState(db), 'serving');
  });
}
