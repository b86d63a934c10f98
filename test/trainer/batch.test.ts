import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { type BatchStep, mergeSteps, paddedLength, planMicroBatches } from '../../trainer/batch.ts';

const ids = (...values: number[]) => Int32Array.from(values);
const step = (id: string, prompt: Int32Array, completion: Int32Array, attemptId = 'at_1', temperature = 1): BatchStep => ({
  id, attemptId, promptTokenIds: prompt, completionTokenIds: completion, temperature,
});

await test('a call that continues another shares its row', () => {
  const rows = mergeSteps([
    step('a', ids(1, 2), ids(3, 4)),
    step('b', ids(1, 2, 3, 4, 9), ids(5)),
    step('c', ids(7, 7), ids(8)),
  ]);
  assert.deepEqual(rows.map((row) => ({ ids: [...row.tokenIds], segments: row.segments.map(({ step, start, length }) => [step, start, length]) })), [
    { ids: [1, 2, 3, 4, 9, 5], segments: [[0, 2, 2], [1, 5, 1]] },
    { ids: [7, 7, 8], segments: [[2, 2, 1]] },
  ]);
});

await test('a second continuation of the same call, and another attempt, start rows of their own', () => {
  const rows = mergeSteps([
    step('a', ids(1), ids(2)),
    step('b', ids(1, 2, 3), ids(4)),
    step('c', ids(1, 2, 3), ids(5)),
    step('d', ids(1, 2, 6), ids(7), 'at_2'),
  ]);
  assert.deepEqual(rows.map((row) => row.segments.map((segment) => segment.step)), [[0, 1], [2], [3]]);
});

await test('an empty prompt or completion is refused by name', () => {
  assert.throws(() => mergeSteps([step('st_x', ids(), ids(1))]), /st_x/);
  assert.throws(() => mergeSteps([step('st_y', ids(1), ids())]), /st_y/);
});

await test('padded lengths are few and waste little', () => {
  assert.equal(paddedLength(1), 16);
  assert.equal(paddedLength(33), 48);
  assert.equal(paddedLength(513), 576);
  for (let length = 256; length < 5000; length++) {
    const padded = paddedLength(length);
    assert.ok(padded >= length && padded <= length * 1.125 + 1, `${length} → ${padded}`);
  }
});

/** A random attempt: a tree of calls, each starting from scratch or continuing an earlier call with some observation between. */
const attempts = fc.array(
  fc.array(
    fc.record({
      parent: fc.integer({ min: -1, max: 6 }),
      observation: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 5 }),
      completion: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 40 }),
      temperature: fc.constantFrom(0.5, 0.75, 1),
    }),
    { minLength: 1, maxLength: 6 },
  ),
  { minLength: 1, maxLength: 5 },
).map((all) => all.flatMap((calls, attempt) => {
  const steps: BatchStep[] = [];
  for (const [i, call] of calls.entries()) {
    const parent = steps[call.parent];
    const prompt = [...(parent ? [...parent.promptTokenIds, ...parent.completionTokenIds] : []), ...call.observation];
    steps.push(step(`st_${attempt}_${i}`, ids(...prompt), ids(...call.completion), `at_${attempt}`, call.temperature));
  }
  return steps;
}));

await test('what rows begin with is computed once, where that is cheaper', () => {
  const prompt = Array.from({ length: 100 }, (_, i) => i);
  const group = (completion: number): BatchStep[] => [1, 2, 3, 4].map((member) => step(`st_${member}`, ids(...prompt), Int32Array.from({ length: completion }, (_, i) => 200 + member * (i + 1)), `at_${member}`));
  const [short = assert.fail(), ...others] = planMicroBatches(mergeSteps(group(20)), 1024, {});
  assert.deepEqual(others, []);
  assert.equal(short.batch.batch, 1);
  assert.equal(short.batch.time, paddedLength(100 + 4 * 20));
  assert.deepEqual(short.batch.positions.filter((_, m) => short.tokenOfEntry[m] === 0), Int32Array.of(99, 99, 99, 99), 'the prompt\'s last token predicts every completion\'s first');
  assert.equal(planMicroBatches(mergeSteps(group(2000)), 16384, {})[0]?.batch.batch, 4, 'long branches that do not see one another would cost more than the prompt');
});

await test('every trained token appears once, with its target, its whole prefix before it, and its own inputs', () => {
  fc.assert(fc.property(attempts, fc.constantFrom(32, 128, 1024), (steps, maxTokens) => {
    const plans = planMicroBatches(mergeSteps(steps), maxTokens, { code: (s: number, t: number) => s * 1000 + t });
    const seen = new Set<string>();
    for (const { batch, stepOfEntry, tokenOfEntry } of plans) {
      assert.equal(new Set(batch.sequences).size, new Set(stepOfEntry).size);
      assert.ok(batch.batch === 1 || batch.batch * batch.time <= maxTokens);
      assert.equal(batch.tokenIds.length, batch.batch * batch.time);
      for (let m = 0; m < batch.targets.length; m++) {
        const s = stepOfEntry[m] ?? -1;
        const t = tokenOfEntry[m] ?? -1;
        const own = steps[s];
        assert.ok(own && !seen.has(`${s}/${t}`));
        seen.add(`${s}/${t}`);
        assert.equal(batch.targets[m], own.completionTokenIds[t]);
        assert.equal(batch.temperature[m], own.temperature);
        // A step's tokens, and only they, share a sequence.
        assert.equal(batch.sequences?.[m], batch.sequences?.[stepOfEntry.indexOf(s)]);
        assert.equal(batch.perToken['code']?.[m], s * 1000 + t);
        // A causal model sees exactly what it saw when this call stood alone: merging cannot change a log-prob.
        const position = batch.positions[m] ?? -1;
        const row = position - (position % batch.time);
        const context = [...own.promptTokenIds, ...own.completionTokenIds.subarray(0, t)];
        const { places, seenUntil } = batch.branches ?? assert.fail();
        const visible = Array.from({ length: position + 1 - row }, (_, i) => row + i).filter((at) => position - row < (seenUntil[at] ?? 0));
        assert.deepEqual(visible.map((at) => batch.tokenIds[at]), context);
        assert.deepEqual(visible.map((at) => places[at]), context.map((_, i) => i));
      }
    }
    assert.equal(seen.size, steps.reduce((sum, own) => sum + own.completionTokenIds.length, 0));
  }), { numRuns: 100 });
});
