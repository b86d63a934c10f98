import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { StoreError, type StoreErrorCode } from '../../store/errors.ts';
import { newId } from '../../store/ids.ts';
import { createRollout, getRollout } from '../../store/rollouts.ts';
import { stepStates } from '../../store/schema.ts';
import { completeSteps, openSteps } from '../../store/step-writes.ts';
import { findStepsByResponse, getStep, listSteps, markCrashed } from '../../store/steps.ts';
import { completeStep, openStep } from './rows.ts';
import { temporaryDatabase } from './temporary.ts';

const refused = (code: StoreErrorCode) => (error: unknown): boolean => error instanceof StoreError && error.code === code;

describe('the two phases of a step', () => {
  it('open, then complete: everything comes back as it was given', (t) => {
    const db = temporaryDatabase(t);
    const opened = openStep(createRollout(db, { mode: 'train' }), { agent: 'writer', sequence: 3, request: '{"ü":1}' });
    openSteps(db, [opened]);
    assert.equal(getStep(db, opened.id)?.state, 'open');
    assert.equal(getStep(db, opened.id)?.request, '{"ü":1}');

    const completed = completeStep(opened.id, { parentStepId: 'st_parent', response: Buffer.from('{"é":2}') });
    completeSteps(db, [completed]);
    assert.deepEqual(getStep(db, opened.id), { ...opened, ...completed, response: '{"é":2}' });
  });

  it('ids and log-probs of any content survive (property)', (t) => {
    const db = temporaryDatabase(t);
    const rollout = createRollout(db, { mode: 'train' });
    const tokens = fc.array(fc.record({ id: fc.integer({ min: 0, max: 2 ** 31 - 1 }), logprob: fc.float({ max: 0, noNaN: true }) }));
    fc.assert(fc.property(fc.int32Array(), tokens, (promptIds, completion) => {
      const step = openStep(rollout);
      const completionIds = Int32Array.from(completion, (token) => token.id);
      const logprobs = Float32Array.from(completion, (token) => token.logprob);
      openSteps(db, [step]);
      completeSteps(db, [completeStep(step.id, { promptIds, completionIds, logprobs })]);
      const read = getStep(db, step.id);
      assert.deepEqual([read?.promptIds, read?.completionIds, read?.logprobs], [promptIds, completionIds, logprobs]);
      assert.equal(read?.quarantineReason, null);
    }), { numRuns: 50 });
  });

  it('a completion keeps what the open step knew and it does not say', (t) => {
    const db = temporaryDatabase(t);
    const step = openStep(createRollout(db, { mode: 'train' }), { responseId: 'chatcmpl-1', parentStepId: 'st_p' });
    openSteps(db, [step]);
    completeSteps(db, [completeStep(step.id, { responseId: null })]);
    const read = getStep(db, step.id);
    assert.deepEqual([read?.responseId, read?.parentStepId, read?.sampling], ['chatcmpl-1', 'st_p', step.sampling]);
  });

  it('ids and log-probs of different lengths are kept in quarantine; a reason given stays', (t) => {
    const db = temporaryDatabase(t);
    const rollout = createRollout(db, { mode: 'train' });
    const [uneven, inexact, none] = [openStep(rollout), openStep(rollout), openStep(rollout)] as const;
    openSteps(db, [uneven, inexact, none]);
    completeSteps(db, [
      completeStep(uneven.id, { logprobs: Float32Array.of(-1) }),
      completeStep(inexact.id, { completionIds: null, quarantineReason: 'inexact' }),
      completeStep(none.id, { completionIds: null, logprobs: null, state: 'upstream_error', error: 'HTTP 500' }),
    ]);
    assert.deepEqual([uneven, inexact, none].map((step) => getStep(db, step.id)?.quarantineReason), ['length_mismatch', 'inexact', null]);
    assert.deepEqual(getStep(db, uneven.id)?.completionIds, Int32Array.of(4, 5));
    assert.equal(listSteps(db, { quarantined: true }).items.length, 2);
    assert.equal(getRollout(db, rollout.rollout.id)?.counts.quarantined, 2);
  });

  it('a step completes once, whatever the state', (t) => {
    const db = temporaryDatabase(t);
    const rollout = createRollout(db, { mode: 'train' });
    for (const state of stepStates.filter((state) => state !== 'open' && state !== 'crashed')) {
      const step = openStep(rollout);
      openSteps(db, [step]);
      completeSteps(db, [completeStep(step.id, { state })]);
      assert.equal(getStep(db, step.id)?.state, state);
      assert.throws(() => completeSteps(db, [completeStep(step.id)]), refused('illegal_transition'));
    }
    assert.throws(() => completeSteps(db, [completeStep('st_none')]), refused('unknown_step'));
  });

  it('several steps are opened, and completed, all or none', (t) => {
    const db = temporaryDatabase(t);
    const rollout = createRollout(db, { mode: 'train' });
    const step = openStep(rollout);
    assert.throws(() => openSteps(db, [step, openStep(rollout, { attemptId: 'at_none' })]), refused('conflict'));
    assert.equal(getStep(db, step.id), undefined);
    openSteps(db, [step]);
    assert.throws(() => completeSteps(db, [completeStep(step.id), completeStep('st_none')]), refused('unknown_step'));
    assert.equal(getStep(db, step.id)?.state, 'open');
  });

  it('what is open at boot becomes crashed, and only that', (t) => {
    const db = temporaryDatabase(t);
    const rollout = createRollout(db, { mode: 'train' });
    const [open, done] = [openStep(rollout), openStep(rollout)] as const;
    openSteps(db, [open, done]);
    completeSteps(db, [completeStep(done.id)]);
    assert.equal(markCrashed(db, 5000), 1);
    assert.deepEqual([getStep(db, open.id)?.state, getStep(db, open.id)?.endedAt, getStep(db, done.id)?.state], ['crashed', 5000, 'complete']);
    assert.equal(markCrashed(db), 0);
  });
});

describe('reading steps', () => {
  it('the choices of one call share its bodies and its response id', (t) => {
    const db = temporaryDatabase(t);
    const rollout = createRollout(db, { mode: 'train' });
    const callId = newId('ca');
    const choices = [0, 1].map((choice) => openStep(rollout, { callId, choice, request: choice === 0 ? '{"n":2}' : null }));
    openSteps(db, choices);
    completeSteps(db, choices.map(({ id, choice }) => completeStep(id, { responseId: 'chatcmpl-2', response: choice === 0 ? '{"c":[]}' : null })));
    const found = findStepsByResponse(db, 'chatcmpl-2');
    assert.deepEqual(found.map((step) => [step.id, step.promptTokens, step.completionTokens]), choices.map((step) => [step.id, 3, 2]));
    assert.ok(found.every((step) => !('request' in step)));
    const second = getStep(db, choices[1]?.id ?? '');
    assert.deepEqual([second?.request, second?.response], ['{"n":2}', '{"c":[]}']);
    assert.deepEqual(findStepsByResponse(db, 'chatcmpl-none'), []);
  });

  it('filters', (t) => {
    const db = temporaryDatabase(t);
    const [a, b] = [createRollout(db, { mode: 'train' }), createRollout(db, { mode: 'val' })] as const;
    const [plan, write, other] = [openStep(a, { agent: 'planner' }), openStep(a, { agent: 'writer' }), openStep(b, { agent: 'writer' })] as const;
    openSteps(db, [plan, write, other]);
    completeSteps(db, [completeStep(other.id)]);
    const ids = (filter: Parameters<typeof listSteps>[1]): string[] => listSteps(db, { order: 'oldest', ...filter }).items.map((step) => step.id);
    assert.deepEqual(ids({}), [plan.id, write.id, other.id]);
    assert.deepEqual(ids({ order: 'newest' }), [other.id, write.id, plan.id]);
    assert.deepEqual(ids({ rolloutId: a.rollout.id }), [plan.id, write.id]);
    assert.deepEqual(ids({ attemptId: b.attempt.id }), [other.id]);
    assert.deepEqual(ids({ agent: 'writer' }), [write.id, other.id]);
    assert.deepEqual(ids({ state: 'open', agent: 'writer' }), [write.id]);
    assert.deepEqual(ids({ callId: plan.callId }), [plan.id]);
    assert.deepEqual(ids({ quarantined: true }), []);
  });
});
