import assert from 'node:assert/strict';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { StoreError, type StoreErrorCode } from '../../store/errors.ts';
import type { Database } from '../../store/open.ts';
import {
  currentPromotion, currentVersion, ensureBasePolicy, insertCandidate, listPolicies, listPromotions, nextVersion, policyLineage,
  promote, rejectPolicy, rollback,
} from '../../store/policies.ts';
import { createRollout } from '../../store/rollouts.ts';
import { insertRoundSteps } from '../../store/round-steps.ts';
import { claimRound, publishRound, requestRound } from '../../store/rounds.ts';
import { openSteps } from '../../store/step-writes.ts';
import { openStep } from './rows.ts';
import { temporaryDatabase } from './temporary.ts';

const refused = (code: StoreErrorCode) => (error: unknown): boolean => error instanceof StoreError && error.code === code;

function publishDirectory(db: Database, version: number): string {
  const directory = join('policies', String(version));
  mkdirSync(join(db.dataDir, directory), { recursive: true });
  return directory;
}

function addCandidate(db: Database, parentVersion = currentVersion(db)): number {
  const version = nextVersion(db);
  insertCandidate(db, { version, kind: 'adapter', parentVersion, roundId: null, directory: publishDirectory(db, version), sha256: 'x' });
  return version;
}

describe('the base policy', () => {
  it('is version 0 and current from the first opening on, once', (t) => {
    const db = temporaryDatabase(t);
    assert.equal(currentPromotion(db), undefined);
    ensureBasePolicy(db, 'fingerprint', 5);
    ensureBasePolicy(db, 'fingerprint', 6);
    ensureBasePolicy(db, null);
    assert.deepEqual(listPromotions(db), [{ id: 1, version: 0, previousVersion: null, reason: 'initial', createdAt: 5 }]);
    assert.equal(nextVersion(db), 1);
  });

  it('ties the data directory to one base model', (t) => {
    const db = temporaryDatabase(t);
    ensureBasePolicy(db, 'one');
    assert.throws(() => ensureBasePolicy(db, 'another'), refused('model_mismatch'));
  });
});

describe('promotion', () => {
  it('makes a candidate current; again changes nothing', (t) => {
    const db = temporaryDatabase(t);
    ensureBasePolicy(db, null);
    const version = addCandidate(db);
    assert.equal(currentVersion(db), 0);
    const promotion = promote(db, { version, reason: 'admin', at: 9 });
    assert.deepEqual(promotion, { id: 2, version: 1, previousVersion: 0, reason: 'admin', createdAt: 9 });
    assert.deepEqual(promote(db, { version, reason: 'round' }), promotion);
    assert.equal(currentVersion(db), 1);
  });

  it('refuses what is unknown, rejected or gone', (t) => {
    const db = temporaryDatabase(t);
    ensureBasePolicy(db, null);
    const [rejected, gone] = [addCandidate(db), addCandidate(db)];
    rejectPolicy(db, rejected);
    rmSync(join(db.dataDir, 'policies', String(gone)), { recursive: true });
    assert.throws(() => promote(db, { version: 99, reason: 'admin' }), refused('unknown_policy'));
    assert.throws(() => promote(db, { version: rejected, reason: 'admin' }), refused('rejected_policy'));
    assert.throws(() => promote(db, { version: gone, reason: 'admin' }), refused('missing_policy'));
    assert.equal(currentVersion(db), 0);
    assert.throws(() => rejectPolicy(db, 0), refused('illegal_transition'));
  });

  it('a candidate must be the next version and have its directory', (t) => {
    const db = temporaryDatabase(t);
    ensureBasePolicy(db, null);
    const candidate = { kind: 'full', parentVersion: 0, roundId: null, directory: 'policies/1', sha256: 'x' } as const;
    assert.throws(() => insertCandidate(db, { ...candidate, version: 2 }), refused('conflict'));
    assert.throws(() => insertCandidate(db, { ...candidate, version: 1 }), refused('missing_policy'));
  });
});

describe('rollback', () => {
  it('goes back one version each time, and on from there', (t) => {
    const db = temporaryDatabase(t);
    ensureBasePolicy(db, null);
    for (let i = 0; i < 3; i++) promote(db, { version: addCandidate(db), reason: 'round' });
    assert.deepEqual([rollback(db).version, rollback(db).version], [2, 1]);
    const fourth = addCandidate(db);
    promote(db, { version: fourth, reason: 'round' });
    assert.deepEqual([fourth, rollback(db).version, rollback(db).version], [4, 1, 0]);
    assert.throws(() => rollback(db), refused('no_previous_version'));
    assert.equal(currentVersion(db), 0);
    assert.equal(listPromotions(db).at(-1)?.reason, 'rollback');
  });

  it('to a given version only if it was current before', (t) => {
    const db = temporaryDatabase(t);
    ensureBasePolicy(db, null);
    promote(db, { version: addCandidate(db), reason: 'round' });
    promote(db, { version: addCandidate(db), reason: 'round' });
    const candidate = addCandidate(db);
    assert.equal(rollback(db, { version: 0 }).previousVersion, 2);
    assert.throws(() => rollback(db, { version: candidate }), refused('no_previous_version'));
    assert.throws(() => rollback(db, { version: 77 }), refused('unknown_policy'));
    assert.equal(currentVersion(db), 0);
  });
});

describe('where a policy comes from', () => {
  it('lists each version with its round and the steps that made it, and its line of parents', (t) => {
    const db = temporaryDatabase(t);
    ensureBasePolicy(db, null, 1);
    const started = createRollout(db, { mode: 'train' });
    const steps = [openStep(started), openStep(started), openStep(started)];
    openSteps(db, steps);
    const row = { staleness: 0, digest: null };
    for (const version of [1, 2]) {
      const { id } = requestRound(db);
      claimRound(db);
      insertRoundSteps(db, id, steps.map((step, i) => ({ ...row, stepId: step.id, leftOutReason: i === 0 ? 'greedy' : null })));
      const policy = { version, kind: 'adapter', parentVersion: version - 1, directory: publishDirectory(db, version), sha256: 'x' } as const;
      publishRound(db, { roundId: id, policy, metrics: { reward_mean: version }, promote: version === 1, at: 10 * version });
    }
    assert.deepEqual(listPolicies(db).map(({ version, state, current, promotedAt, round }) => ({ version, state, current, promotedAt, round })), [
      { version: 2, state: 'candidate', current: false, promotedAt: null, round: { id: 2, state: 'published', metrics: { reward_mean: 2 }, steps: 2 } },
      { version: 1, state: 'promoted', current: true, promotedAt: 10, round: { id: 1, state: 'promoted', metrics: { reward_mean: 1 }, steps: 2 } },
      { version: 0, state: 'promoted', current: false, promotedAt: 1, round: null },
    ]);
    assert.deepEqual(policyLineage(db, 2).map((policy) => [policy.version, policy.roundId]), [[2, 2], [1, 1], [0, null]]);
  });
});
