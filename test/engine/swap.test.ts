import assert from 'node:assert/strict';
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { readSafetensors, writeSafetensors } from '../../model/weights/safetensors.ts';
import { collect, engineOn, golden, idsOf, modelDirectory, request, versionsOf, VOCAB } from './collect.ts';
import { Stepping } from './stepping.ts';

const adapters = { 1: join(modelDirectory, 'lora'), 2: join(modelDirectory, 'lora_rs') };
const inputIds = golden.readInts('input_ids');
const prompt = inputIds.subarray(0, 5);
const long = request(prompt, { maxTokens: 20 });

await test('an adapter\'s log-probs equal PEFT\'s, and the base model beside it stays what it was', async () => {
  for (const adapterTargets of [[], ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']]) {
    await using s = await Stepping.start({}, { adapterTargets });
    await s.load(1, adapters[1]);
    await s.load(2, adapters[2]);
    for (const [version, block] of ['base', 'lora', 'lora_rs'].entries()) {
      const logits = golden.read(`${block}/logits`).data;
      for (let length = 1; length <= 16; length++) {
        const row = logits.subarray((length - 1) * VOCAB, length * VOCAB);
        const total = Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0));
        const outcome = s.submit(request(inputIds.subarray(0, length), { maxTokens: 1, topLogprobs: 20, version }));
        await s.run();
        for (const { id, logprob } of outcome.choices[0]?.tokens[0]?.top ?? []) {
          assert.ok(Math.abs(logprob - ((row[id] ?? NaN) - total)) < 1e-4, `${block} after ${length} tokens: token ${id}`);
        }
        assert.deepEqual(versionsOf(outcome.choices[0]), [version]);
      }
    }
  }
});

await test('finish: a running request ends on its version, as if nothing had happened', async () => {
  await using s = await Stepping.start();
  const reference = s.submit(long);
  await s.run();
  await s.load(1, adapters[1]);
  const running = s.submit(long);
  await s.run(() => idsOf(running.choices[0]).length === 6);
  s.batcher.setCurrent(1);
  const next = s.submit(long);
  const pinned = s.submit({ ...long, version: 0 });
  await s.run();
  assert.deepEqual(running.choices, reference.choices);
  assert.deepEqual(pinned.choices, reference.choices);
  assert.ok(versionsOf(next.choices[0]).every((version) => version === 1));
  assert.notDeepEqual(idsOf(next.choices[0]), idsOf(reference.choices[0]));
  assert.ok(running.done && next.done && pinned.done);
});

await test('a request that waits is served by what is current when it gets its row', async () => {
  await using s = await Stepping.start({ limits: { maxRows: 1, maxQueue: 4, maxQueueMs: 1000, maxContext: 64, chunk: 256, prefillBudget: 256 } });
  await s.load(1, adapters[1]);
  const running = s.submit(long);
  const waiting = s.submit(long);
  await s.run(() => idsOf(running.choices[0]).length === 3);
  s.batcher.setCurrent(1);
  await s.run();
  assert.deepEqual([versionsOf(running.choices[0])[19], versionsOf(waiting.choices[0])[0]], [0, 1]);
});

await test('cross: running requests go on with the new version at the next step; pinned ones stay', async () => {
  await using s = await Stepping.start({ swap: 'cross' });
  await s.load(1, adapters[1]);
  const alone = s.submit({ ...long, version: 0 });
  await s.run();
  const crossing = s.submit({ ...long, n: 2 });
  const pinned = s.submit({ ...long, version: 0 });
  await s.run(() => idsOf(crossing.choices[0]).length === 6 && idsOf(crossing.choices[1]).length === 6);
  s.batcher.setCurrent(1);
  await s.run();
  for (const choice of crossing.choices) {
    assert.deepEqual(versionsOf(choice), [0, 0, 0, 0, 0, 0, ...Array.from({ length: 14 }, () => 1)]);
    assert.deepEqual(idsOf(choice).slice(0, 6), idsOf(alone.choices[0]).slice(0, 6));
    assert.equal(choice.reason, 'length');
  }
  assert.deepEqual(pinned.choices, alone.choices);
  // Back again, with everything moving to a lane that has rows of its own.
  const there = s.submit(long);
  const here = s.submit({ ...long, version: 0 });
  await s.run(() => idsOf(there.choices[0]).length === 4);
  s.batcher.setCurrent(0);
  await s.run();
  assert.deepEqual([versionsOf(there.choices[0])[3], versionsOf(there.choices[0])[4]], [1, 0]);
  assert.deepEqual(here.choices, alone.choices);
});

await test('cross in the middle of a prompt, and with choices that have no row yet', async () => {
  await using s = await Stepping.start({ swap: 'cross', limits: { maxRows: 2, maxQueue: 4, maxQueueMs: 1000, maxContext: 64, chunk: 2, prefillBudget: 2 } });
  await s.load(1, adapters[1]);
  const short = s.submit({ ...long, maxTokens: 40 });
  await s.run(() => idsOf(short.choices[0]).length === 2);
  const reading = s.submit({ ...long, n: 3, maxTokens: 6 });
  await s.run(() => reading.started);
  await s.batcher.step(); // the first two tokens of its prompt
  s.batcher.setCurrent(1);
  await s.run();
  assert.ok(reading.done && reading.choices.every((choice) => choice.tokens.length === 6 && versionsOf(choice).every((version) => version === 1)));
  assert.equal(short.choices[0]?.tokens.length, 40);
});

await test('a full checkpoint is served, and crossed over to, by its own weights', async () => {
  await using s = await Stepping.start({ swap: 'cross' });
  const directory = join(s.directory, 'full');
  await mkdir(directory);
  await copyFile(join(modelDirectory, 'config.json'), join(directory, 'config.json'));
  await copyFile(join(modelDirectory, 'tokenizer.json'), join(directory, 'tokenizer.json')).catch(() => {});
  const base = readSafetensors(join(modelDirectory, 'model.safetensors'));
  writeSafetensors(join(directory, 'model.safetensors'), base.names().map((name) => {
    const { shape, data } = base.read(name);
    return [name, { shape, data: data.map((value, i) => value * (1 + 0.3 * Math.sin(i))) }] as const;
  }));
  await s.load(3, directory, 'full');
  const crossing = s.submit(long);
  await s.run(() => idsOf(crossing.choices[0]).length === 5);
  s.batcher.setCurrent(3);
  const outcome = s.submit(long);
  await s.run();
  assert.deepEqual(new Set(versionsOf(crossing.choices[0])), new Set([0, 3]));
  await using own = await engineOn(directory);
  assert.deepEqual(idsOf(outcome.choices[0]), idsOf((await collect(own.engine, long))[0]));
  s.batcher.setCurrent(0);
  s.batcher.retire(3);
  assert.deepEqual(s.batcher.stats().loadedVersions, [0]);
});

await test('unloading waits for the last request, and takes no new ones', async () => {
  await using s = await Stepping.start();
  await s.load(1, adapters[1]);
  s.batcher.setCurrent(1);
  const running = s.submit(long);
  await s.run(() => idsOf(running.choices[0]).length === 3);
  s.batcher.retire(1);
  assert.equal(s.submit({ ...long, version: 1 }).error?.code, 'unknown_version');
  s.batcher.setCurrent(0);
  assert.deepEqual(s.batcher.stats().loadedVersions, [0, 1]);
  await s.run();
  assert.equal(idsOf(running.choices[0]).length, 20);
  assert.deepEqual(s.batcher.stats().loadedVersions, [0]);
  assert.throws(() => { s.batcher.setCurrent(1); }, { code: 'unknown_version' });
  s.batcher.retire(0);
  assert.deepEqual(s.batcher.stats().loadedVersions, [0], 'the base model stays');
});

await test('through the thread: swaps under load lose nothing, and what can\'t be loaded is said', async () => {
  for (const swap of ['finish', 'cross'] as const) {
    await using running = await engineOn(modelDirectory, { swap, maxContext: 128 });
    const { engine } = running;
    await engine.loadPolicy({ version: 1, kind: 'adapter', directory: adapters[1] });
    let current = 0;
    const swapOften = async (count: number) => { if (count % 40 === 0) await engine.setCurrent(current = 1 - current); };
    const requests = Array.from({ length: 12 }, () => collect(engine, { ...long, n: 2, maxTokens: 100 }, undefined, swapOften));
    for (const choices of await Promise.all(requests)) {
      for (const choice of choices) {
        assert.equal(choice.tokens.length, 100);
        if (swap === 'finish') assert.equal(new Set(versionsOf(choice)).size, 1);
      }
    }
    await assert.rejects(engine.loadPolicy({ version: 9, kind: 'adapter', directory: '/nowhere' }), { code: 'engine_failed', message: /nowhere/ });
    await assert.rejects(engine.setCurrent(9), { code: 'unknown_version', message: /version 9 is not loaded; loaded are 0, 1/ });
    await assert.rejects(collect(engine, { ...long, version: 9 }), { code: 'unknown_version' });
    await engine.unloadPolicy(1);
    await engine.setCurrent(0);
    assert.deepEqual((await engine.stats()).loadedVersions, [0]);
  }
});
