import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { exportSteps } from '../../store/export.ts';
import { newId } from '../../store/ids.ts';
import { giveReward } from '../../store/rewards.ts';
import { createRollout } from '../../store/rollouts.ts';
import { insertRoundSteps } from '../../store/round-steps.ts';
import { claimRound, publishRound, requestRound } from '../../store/rounds.ts';
import { completeSteps, openSteps } from '../../store/step-writes.ts';
import { ensureBasePolicy } from '../../store/policies.ts';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { completeStep, openStep } from './rows.ts';
import { temporaryDatabase } from './temporary.ts';

describe('exportSteps', () => {
  it('gives everything of a step as JSON can hold it', (t) => {
    const db = temporaryDatabase(t);
    const started = createRollout(db, { mode: 'train', taskId: 'task' });
    const callId = newId('ca');
    const opened = [0, 1].map((choice) => openStep(started, { callId, choice, agent: 'writer', request: choice === 0 ? '{"n":2}' : null }));
    openSteps(db, opened);
    completeSteps(db, opened.map(({ id, choice }) => completeStep(id, { response: choice === 0 ? '{"c":[]}' : null })));
    const [first, second] = opened;
    giveReward(db, { target: { rolloutId: started.rollout.id }, value: 0, source: 'agent' });
    giveReward(db, { target: { rolloutId: started.rollout.id }, value: 1, source: 'agent', at: 5 });
    giveReward(db, { target: { stepId: second?.id ?? '' }, value: 0.5, kind: 'intermediate', source: 'admin', at: 6 });
    const exported = [...exportSteps(db)];
    assert.deepEqual(JSON.parse(JSON.stringify(exported)), exported);
    const { promptIds, completionIds, logprobs, ...completed } = completeStep(second?.id ?? '');
    assert.deepEqual(exported[1], {
      ...second, ...completed, request: '{"n":2}', response: '{"c":[]}', parentStepId: null,
      promptIds: [...promptIds ?? []], completionIds: [...completionIds ?? []], logprobs: [...logprobs ?? []],
      attempt: 1, taskId: 'task', mode: 'train', rolloutState: 'running',
      rewards: [
        { target: 'rollout', name: 'reward', kind: 'outcome', value: 1, source: 'agent', createdAt: 5 },
        { target: 'step', name: 'reward', kind: 'intermediate', value: 0.5, source: 'admin', createdAt: 6 },
      ],
    });
    assert.deepEqual(exported[0]?.rewards.map((reward) => reward.value), [1]);
    assert.equal(exported[0]?.id, first?.id);
  });

  it('goes through more than a page, and meets what is added meanwhile', (t) => {
    const db = temporaryDatabase(t);
    const started = createRollout(db, { mode: 'train' });
    const ids = Array.from({ length: 250 }, () => openStep(started));
    openSteps(db, ids);
    const late = openStep(started);
    const seen: string[] = [];
    for (const step of exportSteps(db)) {
      if (seen.length === 120) openSteps(db, [late]);
      seen.push(step.id);
    }
    assert.deepEqual(seen, [...ids, late].map((step) => step.id));
  });

  it('filters by rollout, mode, time, round and policy version', (t) => {
    const db = temporaryDatabase(t);
    ensureBasePolicy(db, null);
    const [train, val] = [createRollout(db, { mode: 'train' }), createRollout(db, { mode: 'val' })] as const;
    const [a, b, c] = [openStep(train, { createdAt: 10 }), openStep(train, { createdAt: 20 }), openStep(val, { createdAt: 30 })] as const;
    openSteps(db, [a, b, c]);
    const { id } = requestRound(db);
    claimRound(db);
    const row = { staleness: null, digest: null };
    insertRoundSteps(db, id, [{ ...row, stepId: a.id, leftOutReason: null }, { ...row, stepId: b.id, leftOutReason: 'greedy' }]);
    mkdirSync(join(db.dataDir, 'policies/1'), { recursive: true });
    publishRound(db, { roundId: id, policy: { version: 1, kind: 'full', parentVersion: 0, directory: 'policies/1', sha256: '' }, metrics: {}, promote: true });
    const ids = (filter: Parameters<typeof exportSteps>[1]): string[] => [...exportSteps(db, filter)].map((step) => step.id);
    assert.deepEqual(ids({ rolloutId: train.rollout.id }), [a.id, b.id]);
    assert.deepEqual(ids({ mode: 'val' }), [c.id]);
    assert.deepEqual(ids({ since: 20 }), [b.id, c.id]);
    assert.deepEqual(ids({ roundId: id }), [a.id]);
    assert.deepEqual(ids({ policyVersion: 1 }), [a.id]);
    assert.deepEqual(ids({ policyVersion: 0 }), []);
    assert.deepEqual(ids({ policyVersion: 1, mode: 'val' }), []);
  });
});
