import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { PostedCommand } from '../../store/commands.ts';
import { commitGroup, prepareGroup } from '../../store/group-commit.ts';
import { openDatabase } from '../../store/open.ts';
import { listRollouts } from '../../store/rollouts.ts';
import { temporaryDatabase } from './temporary.ts';

const create = (id: number, input: unknown = null): PostedCommand => ({ id, name: 'createRollout', argument: { id: `ro_${id}`, mode: 'train', input } });

it('on a full disk nothing is reported as kept that is not', (t) => {
  const db = temporaryDatabase(t);
  commitGroup(db, prepareGroup([create(0)]));
  db.sqlite.pragma(`max_page_count = ${Number(db.sqlite.pragma('page_count', { simple: true })) + 2}`);
  const outcomes = commitGroup(db, prepareGroup([create(1), create(2, 'x'.repeat(100_000)), create(3)]));
  const kept = outcomes.filter((outcome) => outcome.ok).map((outcome) => `ro_${outcome.id}`);
  assert.ok(outcomes.some((outcome) => !outcome.ok && outcome.error.code === 'disk_full'));
  using reader = openDatabase(db.dataDir, { readonly: true });
  assert.deepEqual(listRollouts(reader, { order: 'oldest' }).items.map((rollout) => rollout.id), ['ro_0', ...kept]);
});

it('when the lock cannot be had every command of the group fails as busy', (t) => {
  const holder = temporaryDatabase(t);
  using db = openDatabase(holder.dataDir, { busyTimeoutMs: 10 });
  holder.sqlite.exec('begin immediate');
  const outcomes = commitGroup(db, prepareGroup([create(1), create(2)]));
  assert.deepEqual(outcomes.map((outcome) => [outcome.id, outcome.ok ? 'ok' : outcome.error.code]), [[1, 'busy'], [2, 'busy']]);
  holder.sqlite.exec('commit');
  assert.ok(commitGroup(db, prepareGroup([create(1), create(2)])).every((outcome) => outcome.ok));
});

it('a command that cannot be read fails alone', (t) => {
  const db = temporaryDatabase(t);
  const outcomes = commitGroup(db, prepareGroup([create(1), { id: 2, name: 'openSteps', argument: 7 }, create(3)]));
  assert.deepEqual(outcomes.map((outcome) => outcome.ok), [true, false, true]);
});
