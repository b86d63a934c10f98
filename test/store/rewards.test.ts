import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { StoreError, type StoreErrorCode } from '../../store/errors.ts';
import { giveReward, lastRewardId, listRewards, liveRewards } from '../../store/rewards.ts';
import { createRollout } from '../../store/rollouts.ts';
import { completeSteps, openSteps } from '../../store/step-writes.ts';
import { getStep } from '../../store/steps.ts';
import { completeStep, openStep } from './rows.ts';
import { temporaryDatabase } from './temporary.ts';

const refused = (code: StoreErrorCode) => (error: unknown): boolean => error instanceof StoreError && error.code === code;

describe('giving rewards', () => {
  it('the last under one target and name is live, the earlier ones are history', (t) => {
    const db = temporaryDatabase(t);
    const { rollout } = createRollout(db, { mode: 'train' });
    const target = { rolloutId: rollout.id };
    const first = giveReward(db, { target, value: 0, source: 'exit_status', at: 1 });
    const second = giveReward(db, { target, value: 1, source: 'agent', at: 2 });
    assert.deepEqual([first.supersededId, second.supersededId], [null, first.reward.id]);
    assert.deepEqual(listRewards(db, target), [second.reward]);
    assert.deepEqual(listRewards(db, { ...target, withSuperseded: true }), [{ ...first.reward, supersededAt: 2 }, second.reward]);
  });

  it('another name, a step, and another step are other targets', (t) => {
    const db = temporaryDatabase(t);
    const started = createRollout(db, { mode: 'train' });
    const [a, b] = [openStep(started), openStep(started)] as const;
    openSteps(db, [a, b]);
    const rolloutId = started.rollout.id;
    for (const target of [{ rolloutId }, { stepId: a.id }, { stepId: b.id }]) {
      for (const name of ['reward', 'style']) assert.equal(giveReward(db, { target, name, value: 1, source: 'agent' }).supersededId, null);
    }
    assert.equal(listRewards(db, { rolloutId }).length, 6);
  });

  it('by response id reaches the step of that choice', (t) => {
    const db = temporaryDatabase(t);
    const started = createRollout(db, { mode: 'train' });
    const choices = [openStep(started, { choice: 0 }), openStep(started, { choice: 1 })];
    openSteps(db, choices);
    completeSteps(db, choices.map((step) => completeStep(step.id, { responseId: 'chatcmpl-x' })));
    const stepIds = [undefined, 1].map((choice) => giveReward(db, {
      target: { responseId: 'chatcmpl-x', ...(choice === undefined ? {} : { choice }) }, value: 1, kind: 'intermediate', source: 'agent',
    }).reward.stepId);
    assert.deepEqual(stepIds, choices.map((step) => step.id));
    assert.equal(listRewards(db, { rolloutId: started.rollout.id })[0]?.kind, 'intermediate');
  });

  it('never changes the step', (t) => {
    const db = temporaryDatabase(t);
    const step = openStep(createRollout(db, { mode: 'train' }));
    openSteps(db, [step]);
    const before = getStep(db, step.id);
    giveReward(db, { target: { stepId: step.id }, value: 1, source: 'agent' });
    assert.deepEqual(getStep(db, step.id), before);
  });

  it('to something that does not exist is refused by name, and so is a value that is no number', (t) => {
    const db = temporaryDatabase(t);
    const { rollout } = createRollout(db, { mode: 'train' });
    const give = (target: Parameters<typeof giveReward>[1]['target'], value = 1) => () => giveReward(db, { target, value, source: 'agent' });
    assert.throws(give({ rolloutId: 'ro_none' }), refused('unknown_rollout'));
    assert.throws(give({ stepId: 'st_none' }), refused('unknown_step'));
    assert.throws(give({ responseId: 'chatcmpl-none' }), refused('unknown_response'));
    assert.throws(give({ rolloutId: rollout.id }, Number.NaN), refused('conflict'));
    assert.deepEqual(listRewards(db, { rolloutId: rollout.id, withSuperseded: true }), []);
  });

  it('a refused reward leaves the live one live', (t) => {
    const db = temporaryDatabase(t);
    const { rollout } = createRollout(db, { mode: 'train' });
    const { reward } = giveReward(db, { target: { rolloutId: rollout.id }, value: 1, source: 'agent' });
    assert.throws(() => giveReward(db, { target: { rolloutId: rollout.id }, value: Number.NaN, source: 'agent' }), StoreError);
    assert.deepEqual(listRewards(db, { rolloutId: rollout.id }), [reward]);
  });
});

describe('liveRewards', () => {
  it('finds those of many rollouts (more than one query takes)', (t) => {
    const db = temporaryDatabase(t);
    const ids = db.write(() => Array.from({ length: 1500 }, (_, i) => {
      const { rollout } = createRollout(db, { mode: 'train' });
      if (i % 2 === 0) for (const value of [0, i]) giveReward(db, { target: { rolloutId: rollout.id }, value, source: 'agent' });
      return rollout.id;
    }));
    const live = liveRewards(db, ids);
    assert.equal(live.size, 750);
    ids.forEach((id, i) => { assert.deepEqual(live.get(id)?.map((reward) => reward.value), i % 2 === 0 ? [i] : undefined); });
    assert.equal(liveRewards(db, []).size, 0);
  });

  it('says what was live when a reward was the newest, whatever came after', (t) => {
    const db = temporaryDatabase(t);
    const { rollout, attempt } = createRollout(db, { mode: 'train' });
    const step = openStep({ rollout, attempt });
    openSteps(db, [step]);
    assert.equal(lastRewardId(db), 0);
    const given = [
      { target: { rolloutId: rollout.id }, value: 1 }, { target: { rolloutId: rollout.id }, value: 2, name: 'style' }, { target: { stepId: step.id }, value: 3 },
      { target: { rolloutId: rollout.id }, value: 4 }, { target: { stepId: step.id }, value: 5 },
    ].map((reward) => giveReward(db, { ...reward, source: 'agent' }).reward.id);
    const seen = [0, ...given].map((through) => liveRewards(db, [rollout.id], through).get(rollout.id)?.map((reward) => reward.value));
    assert.deepEqual(seen, [undefined, [1], [1, 2], [1, 2, 3], [2, 3, 4], [2, 4, 5]]);
    assert.deepEqual(liveRewards(db, [rollout.id]).get(rollout.id)?.map((reward) => reward.value), [2, 4, 5]);
    assert.equal(lastRewardId(db), given.at(-1));
  });
});
