import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { listCandidateSteps } from '../../store/candidates.ts';
import { StoreError, type StoreErrorCode } from '../../store/errors.ts';
import { openDatabase } from '../../store/open.ts';
import { currentVersion, ensureBasePolicy, findPolicy } from '../../store/policies.ts';
import { createRollout } from '../../store/rollouts.ts';
import {
  claimRound, findRound, finishRound, getRound, listRounds, publishRound, putRoundBack, recordRoundPlan, recoverRunningRounds, requestRound,
  setRoundProgress,
} from '../../store/rounds.ts';
import { insertRoundSteps, listRoundSteps, recordStepShares } from '../../store/round-steps.ts';
import { roundStates } from '../../store/schema.ts';
import { completeSteps, openSteps } from '../../store/step-writes.ts';
import { roundTransitions, type RoundState } from '../../store/transitions.ts';
import { completeStep, openStep } from './rows.ts';
import { temporaryDatabase } from './temporary.ts';

const refused = (code: StoreErrorCode) => (error: unknown): boolean => error instanceof StoreError && error.code === code;

describe('a round', () => {
  it('is requested, claimed, set up, moves on and ends', (t) => {
    const db = temporaryDatabase(t);
    const requested = requestRound(db, { config: { epochs: 2 }, promote: false, seed: 7, at: 1 });
    assert.deepEqual([requested.state, requested.promote, requested.seed, requested.config], ['requested', false, 7, { epochs: 2 }]);
    assert.deepEqual(claimRound(db, 2), { ...requested, state: 'running', startedAt: 2 });
    assert.equal(claimRound(db), undefined);
    const setup = { config: { epochs: 2, seed: 7 }, seed: 7, baseVersion: 0, rewardsThrough: 5, environment: { onnxruntime: '1', platform: 'p', cpu: 'c' } };
    assert.deepEqual(recordRoundPlan(db, requested.id, setup, []), { ...requested, state: 'running', startedAt: 2, ...setup });
    setRoundProgress(db, requested.id, { phase: 'forward', done: 1, total: 4 });
    assert.deepEqual(findRound(db, requested.id)?.progress, { phase: 'forward', done: 1, total: 4 });
    const ended = finishRound(db, requested.id, { state: 'empty', metrics: { steps: 0 }, at: 3 });
    assert.deepEqual([ended.state, ended.metrics, ended.progress, ended.endedAt, ended.baseVersion], ['empty', { steps: 0 }, null, 3, 0]);
  });

  it('is claimed oldest first, by one trainer only', (t) => {
    const db = temporaryDatabase(t);
    using other = openDatabase(db.dataDir);
    const ids = [requestRound(db).id, requestRound(db).id, requestRound(db).id];
    assert.deepEqual([claimRound(db), claimRound(other), claimRound(db), claimRound(other)].map((round) => round?.id), [...ids, undefined]);
  });

  it('takes only the ways of its table', (t) => {
    const db = temporaryDatabase(t);
    const { id } = requestRound(db);
    for (const from of roundStates) {
      for (const to of roundStates.filter((state): state is Exclude<RoundState, 'requested' | 'running'> => state !== 'requested' && state !== 'running')) {
        db.sqlite.prepare('update rounds set state = ? where id = ?').run(from, id);
        if (roundTransitions[from].includes(to)) assert.equal(finishRound(db, id, { state: to }).state, to);
        else assert.throws(() => finishRound(db, id, { state: to }), refused('illegal_transition'), `${from} to ${to}`);
      }
    }
    assert.throws(() => finishRound(db, 99, { state: 'failed' }), refused('unknown_round'));
    assert.throws(() => setRoundProgress(db, 99, { phase: 'x', done: 0, total: 0 }), refused('unknown_round'));
  });

  it('that a dead trainer left running waits again; one that ends every trainer fails', (t) => {
    const db = temporaryDatabase(t);
    const [running, waiting] = [requestRound(db).id, requestRound(db).id];
    for (const time of [1, 2, 3]) {
      assert.equal(claimRound(db)?.id, running, 'the interrupted one comes first');
      setRoundProgress(db, running, { phase: 'train', done: time, total: 9 });
      assert.deepEqual(recoverRunningRounds(db, 3, 9), time < 3 ? [running] : []);
      const round = findRound(db, running);
      assert.deepEqual([round?.state, round?.interruptions, round?.progress], [time < 3 ? 'requested' : 'failed', time, null]);
    }
    assert.match(findRound(db, running)?.error ?? '', /died 3 times .*out of memory/);
    assert.equal(findRound(db, waiting)?.state, 'requested');
  });

  it('is put back by a trainer that ends in good order, which costs it nothing', (t) => {
    const db = temporaryDatabase(t);
    const { id } = requestRound(db);
    claimRound(db);
    putRoundBack(db, id);
    assert.deepEqual([findRound(db, id)?.state, findRound(db, id)?.interruptions], ['requested', 0]);
    assert.throws(() => { putRoundBack(db, id); }, refused('illegal_transition'));
    assert.equal(claimRound(db)?.id, id);
  });
});

describe('publishing a round', () => {
  const policy = { version: 1, kind: 'full', parentVersion: 0, directory: 'policies/1', sha256: 'abc' } as const;

  for (const promote of [true, false]) {
    it(promote ? 'with promotion makes its policy current' : 'without promotion leaves a candidate', (t) => {
      const db = temporaryDatabase(t);
      ensureBasePolicy(db, null);
      mkdirSync(join(db.dataDir, 'policies/1'), { recursive: true });
      const { id } = requestRound(db, { promote });
      claimRound(db);
      const published = publishRound(db, { roundId: id, policy, metrics: { loss: 1 }, promote });
      assert.deepEqual([currentVersion(db), published.round.state, published.policy.state], promote ? [1, 'promoted', 'promoted'] : [0, 'published', 'candidate']);
      assert.deepEqual(findPolicy(db, 1), published.policy);
      assert.deepEqual(findRound(db, id), published.round);
      assert.deepEqual([published.round.resultVersion, published.policy.roundId], [1, id]);
    });
  }

  it('is all or nothing', (t) => {
    const db = temporaryDatabase(t);
    ensureBasePolicy(db, null);
    mkdirSync(join(db.dataDir, 'policies/1'), { recursive: true });
    const { id } = requestRound(db); // not claimed, so it cannot be published
    assert.throws(() => publishRound(db, { roundId: id, policy, metrics: {}, promote: true }), refused('illegal_transition'));
    assert.equal(findPolicy(db, 1), undefined);
    assert.equal(currentVersion(db), 0);
  });
});

describe('the steps of a round', () => {
  it('are kept with advantage and weight, or the reason why not', (t) => {
    const db = temporaryDatabase(t);
    const started = createRollout(db, { mode: 'train' });
    const steps = [openStep(started), openStep(started), openStep(started)];
    openSteps(db, steps);
    const { id } = requestRound(db);
    const rows = steps.map((step, i) => ({
      stepId: step.id, staleness: 1, leftOutReason: i === 2 ? 'no_group' : null, digest: i === 2 ? null : 'abc',
    })).sort((a, b) => (a.stepId < b.stepId ? -1 : 1));
    insertRoundSteps(db, id, rows);
    const first = listRoundSteps(db, id, { limit: 2 });
    const rest = listRoundSteps(db, id, { limit: 2, after: first.nextCursor ?? '' });
    assert.deepEqual([...first.items, ...rest.items], rows.map((row) => ({ ...row, roundId: id, credit: null, advantage: null, weight: null })));
    const share = { credit: 1, advantage: 0.1, weight: 0.25 };
    recordStepShares(db, id, rows.map(({ stepId }) => ({ stepId, ...share })));
    assert.deepEqual(listRoundSteps(db, id, { limit: 1 }).items[0], { ...rows[0], roundId: id, ...share });
    assert.equal(rest.nextCursor, null);
    assert.equal(listRoundSteps(db, id, { used: true }).items.length, 2);
    assert.deepEqual(listRoundSteps(db, id, { used: false }).items.map((row) => row.leftOutReason), ['no_group']);
    const detail = getRound(db, id);
    assert.deepEqual([detail?.usedSteps, detail?.leftOut], [2, { no_group: 1 }]);
    assert.throws(() => insertRoundSteps(db, id, rows), refused('conflict'));
  });
});

describe('listing rounds', () => {
  it('newest first, by pages and by state', (t) => {
    const db = temporaryDatabase(t);
    for (let i = 0; i < 5; i++) requestRound(db);
    claimRound(db);
    const first = listRounds(db, { limit: 3 });
    assert.deepEqual([first.items.map((round) => round.id), first.nextCursor], [[5, 4, 3], '3']);
    assert.deepEqual(listRounds(db, { limit: 3, after: '3' }).items.map((round) => round.id), [2, 1]);
    assert.deepEqual(listRounds(db, { order: 'oldest', limit: 2, after: '2' }).items.map((round) => round.id), [3, 4]);
    assert.deepEqual(listRounds(db, { state: 'running' }).items.map((round) => round.id), [1]);
  });
});

describe('what a round may choose from', () => {
  it('ended steps of the modes asked for, newest first, with their rollout\'s facts and decoded arrays', (t) => {
    const db = temporaryDatabase(t);
    const [train, val] = [createRollout(db, { mode: 'train', taskId: 't' }), createRollout(db, { mode: 'val' })] as const;
    const steps = [openStep(train), openStep(train, { agent: 'b' }), openStep(val), openStep(train)];
    openSteps(db, steps);
    completeSteps(db, steps.slice(0, 3).map((step) => completeStep(step.id)));
    const found = listCandidateSteps(db, { modes: ['train'], limit: 10 });
    assert.deepEqual(found.map((step) => step.id), [steps[1]?.id, steps[0]?.id]);
    assert.deepEqual([found[0]?.taskId, found[0]?.mode, found[0]?.rolloutState, found[0]?.agent], ['t', 'train', 'running', 'b']);
    assert.deepEqual([found[0]?.promptIds, found[0]?.logprobs], [Int32Array.of(1, 2, 3), Float32Array.of(-0.5, -0.25)]);
    assert.equal(listCandidateSteps(db, { modes: ['train', 'val'], limit: 2 }).length, 2);
  });

  it('not what an earlier round used, unless that failed; not what was left out for good', (t) => {
    const db = temporaryDatabase(t);
    const started = createRollout(db, { mode: 'train' });
    const [used, tried, greedy, early] = [openStep(started), openStep(started), openStep(started), openStep(started)] as const;
    openSteps(db, [used, tried, greedy, early]);
    completeSteps(db, [used, tried, greedy, early].map((step) => completeStep(step.id)));
    const end = (state: 'published' | 'failed', rows: [id: string, reason: string | null][]): void => {
      const { id } = requestRound(db);
      claimRound(db);
      insertRoundSteps(db, id, rows.map(([stepId, leftOutReason]) => ({ stepId, leftOutReason, staleness: 0, digest: null })));
      finishRound(db, id, { state });
    };
    end('published', [[used.id, null], [greedy.id, 'greedy'], [early.id, 'running']]);
    end('failed', [[tried.id, null]]);
    const ids = (finalReasons: string[]): string[] => listCandidateSteps(db, { modes: ['train'], limit: 10, finalReasons }).map((step) => step.id);
    assert.deepEqual(ids(['greedy']), [early.id, tried.id]);
    assert.deepEqual(ids([]), [early.id, greedy.id, tried.id]);
  });
});
