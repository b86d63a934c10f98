import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { StoreError, type StoreErrorCode } from '../../store/errors.ts';
import { giveReward } from '../../store/rewards.ts';
import { createRollout, currentAttempt, endRollout, findRollout, getRollout, listRollouts, newAttempt } from '../../store/rollouts.ts';
import { rolloutStates } from '../../store/schema.ts';
import { completeSteps, openSteps } from '../../store/step-writes.ts';
import { completeStep, openStep } from './rows.ts';
import { temporaryDatabase } from './temporary.ts';

const refused = (code: StoreErrorCode) => (error: unknown): boolean => error instanceof StoreError && error.code === code;

describe('rollouts', () => {
  it('begin with a first attempt and come back as they were given', (t) => {
    const db = temporaryDatabase(t);
    const { rollout, attempt } = createRollout(db, { taskId: 't1', mode: 'val', pinnedVersion: 2, input: { question: 'ü' }, metadata: [1, null], at: 7 });
    assert.match(rollout.id, /^ro_[0-9a-hjkmnp-tv-z]{24}$/);
    assert.deepEqual(findRollout(db, rollout.id), rollout);
    assert.deepEqual(rollout, { id: rollout.id, taskId: 't1', mode: 'val', state: 'running', pinnedVersion: 2, input: { question: 'ü' }, metadata: [1, null], createdAt: 7, endedAt: null });
    assert.deepEqual(currentAttempt(db, rollout.id), attempt);
    assert.deepEqual([attempt.number, attempt.state], [1, 'running']);
    assert.throws(() => createRollout(db, { id: rollout.id, mode: 'val' }), refused('conflict'));
  });

  it('without input have none, not the text "null"', (t) => {
    const db = temporaryDatabase(t);
    createRollout(db, { mode: 'live' });
    assert.deepEqual(db.sqlite.prepare('select input, metadata from rollouts').get(), { input: null, metadata: null });
  });

  it('end once, with their attempt; the same end again changes nothing, another one is refused', (t) => {
    const db = temporaryDatabase(t);
    for (const state of rolloutStates.filter((state) => state !== 'running')) {
      const { rollout } = createRollout(db, { mode: 'train' });
      endRollout(db, { rolloutId: rollout.id, state, detail: 'because', at: 10 });
      const attempt = currentAttempt(db, rollout.id);
      assert.deepEqual([attempt?.state, attempt?.detail, attempt?.endedAt], [state, 'because', 10]);
      assert.equal(endRollout(db, { rolloutId: rollout.id, state, at: 20 }).endedAt, 10);
      const another = state === 'failed' ? 'succeeded' : 'failed';
      assert.throws(() => endRollout(db, { rolloutId: rollout.id, state: another }), refused('illegal_transition'));
      assert.throws(() => newAttempt(db, { rolloutId: rollout.id, previous: 'failed' }), refused('illegal_transition'));
    }
    assert.throws(() => endRollout(db, { rolloutId: 'ro_none', state: 'failed' }), refused('unknown_rollout'));
  });

  it('another attempt ends the one before and counts on', (t) => {
    const db = temporaryDatabase(t);
    const { rollout } = createRollout(db, { mode: 'train' });
    const second = newAttempt(db, { rolloutId: rollout.id, previous: 'timed_out', detail: '60 s', at: 5 });
    assert.equal(second.number, 2);
    endRollout(db, { rolloutId: rollout.id, state: 'succeeded', at: 9 });
    assert.deepEqual(getRollout(db, rollout.id)?.attempts.map((attempt) => [attempt.number, attempt.state, attempt.detail, attempt.endedAt]),
      [[1, 'timed_out', '60 s', 5], [2, 'succeeded', null, 9]]);
  });

  it('are read with the counts of their steps and their live rewards', (t) => {
    const db = temporaryDatabase(t);
    const started = createRollout(db, { mode: 'train' });
    const [done, open] = [openStep(started), openStep(started)] as const;
    openSteps(db, [done, open]);
    completeSteps(db, [completeStep(done.id)]);
    giveReward(db, { target: { rolloutId: started.rollout.id }, value: 0.25, source: 'agent' });
    giveReward(db, { target: { stepId: done.id }, value: 0.5, source: 'agent' });
    giveReward(db, { target: { stepId: done.id }, value: 7, kind: 'intermediate', name: 'air', source: 'admin' });
    const detail = getRollout(db, started.rollout.id);
    assert.deepEqual(detail?.counts, { steps: 2, open: 1, complete: 1, quarantined: 0, promptTokens: 3, completionTokens: 2 });
    assert.deepEqual(detail.rewards.map((reward) => reward.value), [0.25, 0.5, 7]);
    const [item] = listRollouts(db).items;
    assert.deepEqual([item?.stepCount, item?.outcome], [2, 0.75]);
    assert.equal(getRollout(db, 'ro_none'), undefined);
  });
});

describe('listing rollouts', () => {
  it('filters by mode, state and task', (t) => {
    const db = temporaryDatabase(t);
    createRollout(db, { id: 'ro_1', mode: 'train', taskId: 'a' });
    createRollout(db, { id: 'ro_2', mode: 'val', taskId: 'a' });
    createRollout(db, { id: 'ro_3', mode: 'train', taskId: 'b' });
    endRollout(db, { rolloutId: 'ro_3', state: 'failed' });
    const ids = (filter: Parameters<typeof listRollouts>[1]): string[] => listRollouts(db, filter).items.map((rollout) => rollout.id);
    assert.deepEqual(ids({}), ['ro_3', 'ro_2', 'ro_1']);
    assert.deepEqual(ids({ mode: 'train', order: 'oldest' }), ['ro_1', 'ro_3']);
    assert.deepEqual(ids({ taskId: 'a', mode: 'val' }), ['ro_2']);
    assert.deepEqual(ids({ state: 'failed' }), ['ro_3']);
    assert.throws(() => listRollouts(db, { after: 'ro_none' }), refused('unknown_cursor'));
  });

  it('pages see every row that was there, once, while others are added (property)', (t) => {
    const db = temporaryDatabase(t);
    fc.assert(fc.property(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 5 }), fc.constantFrom('newest', 'oldest'), (count, limit, order) => {
      db.sqlite.exec('delete from attempts; delete from rollouts');
      const at = 1000; // all in the same millisecond
      const before = Array.from({ length: count }, () => createRollout(db, { mode: 'train', at }).rollout.id);
      const seen: string[] = [];
      for (let after: string | undefined; ;) {
        const page = listRollouts(db, { limit, order, after });
        seen.push(...page.items.map((rollout) => rollout.id));
        if (page.nextCursor === null) break;
        after = page.nextCursor;
        if (seen.length < count) before.push(createRollout(db, { mode: 'train', at }).rollout.id);
      }
      const expected = order === 'newest' ? before.slice(0, count).toReversed() : before;
      assert.deepEqual(seen, expected);
    }), { numRuns: 30 });
  });
});
