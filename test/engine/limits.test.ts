import assert from 'node:assert/strict';
import { cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { rested } from '../../bench/soak/slots.ts';
import type { Failure } from '../../engine/protocol.ts';
import { readSafetensors, writeSafetensors } from '../../model/weights/safetensors.ts';
import { collect, engineOn, golden, idsOf, modelDirectory, never, request } from './collect.ts';
import { LIMITS, Stepping } from './stepping.ts';

const inputIds = golden.readInts('input_ids');
const prompt = inputIds.subarray(0, 16);

await test('a prompt read in chunks gives what it gives in one piece', async () => {
  const results: unknown[] = [];
  for (const chunk of [256, 7, 1]) {
    await using s = await Stepping.start({ limits: { ...LIMITS, chunk, prefillBudget: chunk } });
    const outcome = s.submit(request(prompt, { maxTokens: 20 }));
    await s.run();
    results.push(idsOf(outcome.choices[0]));
    assert.equal(s.batcher.stats().promptTokens, 16);
  }
  assert.deepEqual(results[1], results[0]);
  assert.deepEqual(results[2], results[0]);
});

await test('a long prompt does not hold up a running stream for more than a chunk', async () => {
  await using s = await Stepping.start({ limits: { ...LIMITS, chunk: 4, prefillBudget: 4 } });
  const stream = s.submit(request(prompt.subarray(0, 2), { maxTokens: 30 }));
  await s.run(() => idsOf(stream.choices[0]).length === 3);
  const before = s.batcher.stats().decodeSteps;
  const late = s.submit(request(prompt, { maxTokens: 3 }));
  await s.run(() => idsOf(late.choices[0]).length === 1);
  assert.equal(s.batcher.stats().decodeSteps - before, 3, 'one decode between any two of four chunks');
});

await test('aborting frees the rows at once, also before and during the prompt', async () => {
  await using s = await Stepping.start({ limits: { ...LIMITS, maxRows: 3, chunk: 4, prefillBudget: 4 } });
  const kept = s.submit(request(prompt, { maxTokens: 40 }));
  const running = s.submit(request(prompt, { n: 5, maxTokens: 40 }));
  await s.run(() => idsOf(running.choices[1]).length === 2);
  const waiting = s.submit(request(prompt));
  assert.deepEqual([s.batcher.stats().running, s.batcher.stats().waiting], [3, 1]);
  s.batcher.abort(waiting.id);
  s.batcher.abort(running.id);
  assert.deepEqual([s.batcher.stats().running, s.batcher.stats().waiting], [1, 0]);
  const read = s.submit(request(prompt));
  await s.run(() => read.started);
  await s.batcher.step();
  s.batcher.abort(read.id);
  await s.run();
  assert.equal(read.choices[0]?.tokens.length, 0);
  const alone = s.submit(request(prompt, { maxTokens: 40 }));
  await s.run();
  assert.deepEqual(kept.choices, alone.choices, 'the survivor is undisturbed');
  s.batcher.rest();
  assert.equal(s.batcher.stats().kvBytes, 0);
});

await test('the context ends a choice; a prompt that fills it is refused with the numbers', async () => {
  await using running = await engineOn(modelDirectory, { maxContext: 40 });
  const [choice] = await collect(running.engine, request(prompt, { maxTokens: 1000 }));
  assert.deepEqual([choice?.tokens.length, choice?.reason], [24, 'length']);
  await assert.rejects(collect(running.engine, request(new Int32Array(40))), { code: 'context_length_exceeded', message: /40 tokens.*context of 40 tokens/ });
  assert.equal((await collect(running.engine, request(new Int32Array(39))))[0]?.tokens.length, 1);
  await using capped = await engineOn(modelDirectory, { maxContext: 100_000 });
  assert.equal(capped.engine.maxContext, 128, 'the model\'s own limit');
});

await test('a full queue refuses, and goes on with those it has', async () => {
  await using s = await Stepping.start({ limits: { ...LIMITS, maxRows: 1, maxQueue: 2 } });
  const first = s.submit(request(prompt));
  await s.run(() => first.started);
  const outcomes = [1, 2, 3].map(() => s.submit(request(prompt)));
  assert.deepEqual(outcomes.map(({ error }) => error?.code), [undefined, undefined, 'queue_full']);
  await s.run();
  assert.deepEqual([first, ...outcomes].map(({ done }) => done), [true, true, true, false]);
});

await test('who has waited too long is told so; those who have a row go on', async () => {
  let now = 0;
  await using s = await Stepping.start({ limits: { ...LIMITS, maxRows: 1 }, now: () => now });
  const first = s.submit(request(prompt));
  await s.run(() => idsOf(first.choices[0]).length === 2);
  const waiting = s.submit(request(prompt));
  now = 1000;
  await s.batcher.step();
  const failures = (): (Failure | null)[] => [first.error, waiting.error];
  assert.deepEqual(failures(), [null, null]);
  now = 1001;
  await s.batcher.step();
  assert.deepEqual(failures(), [null, { code: 'queue_timeout', message: 'The request has waited for 1 s, and no row became free. Try again later.' }]);
  assert.equal(s.batcher.stats().waiting, 0);
  await s.run();
  assert.ok(first.done);
});

await test('what a request can break breaks that request only', async () => {
  await using s = await Stepping.start();
  const adapter = readSafetensors(join(modelDirectory, 'lora', 'adapter_model.safetensors'));
  const adapterOf = async (value: number): Promise<string> => {
    const directory = join(s.directory, String(value));
    await mkdir(directory);
    await cp(join(modelDirectory, 'lora', 'adapter_config.json'), join(directory, 'adapter_config.json'));
    writeSafetensors(join(directory, 'adapter_model.safetensors'), adapter.names().map((name) => [name, { shape: adapter.shape(name), data: adapter.read(name).data.fill(value) }] as const));
    return directory;
  };
  await assert.rejects(s.load(1, await adapterOf(NaN)), { code: 'engine_failed', message: /version 1 in .*NaN has numbers that are not finite/ });
  await s.load(1, await adapterOf(1e30));
  const healthy = s.submit(request(prompt, { maxTokens: 30 }));
  await s.run(() => idsOf(healthy.choices[0]).length === 2);
  const diverged = s.submit(request(prompt, { version: 1, n: 3 }));
  const outOfRange = s.submit(request([5, 97]));
  const empty = s.submit(request([]));
  await s.run();
  assert.deepEqual([diverged, outOfRange, empty].map(({ error }) => error?.code), ['engine_failed', 'engine_failed', 'engine_failed']);
  assert.match(diverged.error?.message ?? '', /Version 1.*not numbers/);
  assert.match(empty.error?.message ?? '', /no tokens/);
  assert.equal(healthy.choices[0]?.tokens.length, 30);
  const huge = await Stepping.start({ shape: { layers: 1, kvHeads: 2 ** 30, headDim: 2 ** 12 } });
  const starved = huge.submit(request(prompt));
  await huge.run();
  assert.equal(starved.error?.code, 'out_of_memory');
});

await test('an aborted signal ends the iteration with its reason, before, while and after waiting', async () => {
  await using running = await engineOn(modelDirectory, { maxRows: 1, maxContext: 128 });
  const { engine } = running;
  const reason = new Error('the client went away');
  await assert.rejects(collect(engine, request(prompt), AbortSignal.abort(reason)), reason);
  const controller = new AbortController();
  const hogging = collect(engine, request(prompt, { maxTokens: 100 }), controller.signal, (count) => { if (count === 2) controller.abort(reason); });
  const waiting = new AbortController();
  const queued = collect(engine, request(prompt), waiting.signal);
  waiting.abort(reason);
  await assert.rejects(queued, reason);
  await assert.rejects(hogging, reason);
  for await (const event of engine.generate(request(prompt, { maxTokens: 100 }), never)) if (event.type === 'token') break;
  const { running: rows, waiting: line, kvBytes } = await rested(engine);
  assert.deepEqual([rows, line, kvBytes], [0, 0, 0]);
  assert.equal((await collect(engine, request(prompt)))[0]?.tokens.length, 12);
});

await test('when the thread dies every request fails with a sentence, also later ones', async () => {
  const running = await engineOn(modelDirectory, { maxContext: 128 });
  const { engine } = running;
  const failed = { name: 'EngineError', code: 'engine_failed' };
  const streams = [1, 2].map(() => assert.rejects(collect(engine, request(prompt, { n: 8, maxTokens: 112 })), failed));
  // A request that no caller can make: the prompt is missing. Whatever goes wrong inside the thread ends like this.
  const poison = collect(engine, request(prompt, { promptTokenIds: null as unknown as Int32Array }));
  await assert.rejects(poison, failed);
  await Promise.all(streams);
  await assert.rejects(collect(engine, request(prompt)), failed);
  await assert.rejects(engine.stats(), failed);
  await running[Symbol.asyncDispose]();
});

await test('a model that can\'t be opened is said at the start', async () => {
  await assert.rejects(engineOn('/nowhere/model'), { name: 'EngineError', code: 'engine_failed', message: /\/nowhere\/model/ });
});
