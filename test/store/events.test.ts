import assert from 'node:assert/strict';
import { it } from 'node:test';
import { addEvent, listEvents } from '../../store/events.ts';
import { temporaryDatabase } from './temporary.ts';

it('events come back oldest first, by rollout, by kind, by pages', (t) => {
  const db = temporaryDatabase(t);
  const a = addEvent(db, { kind: 'attempt.timed_out', rolloutId: 'ro_1', data: { seconds: 60 }, at: 1 });
  const b = addEvent(db, { kind: 'policy.promoted', at: 2 });
  assert.deepEqual(a, { id: 1, kind: 'attempt.timed_out', rolloutId: 'ro_1', attemptId: null, data: { seconds: 60 }, createdAt: 1 });
  assert.deepEqual(listEvents(db), { items: [a, b], nextCursor: null });
  assert.deepEqual(listEvents(db, { rolloutId: 'ro_1' }).items, [a]);
  assert.deepEqual(listEvents(db, { kind: 'policy.promoted' }).items, [b]);
  const first = listEvents(db, { limit: 1 });
  assert.deepEqual([first.items, listEvents(db, { after: first.nextCursor ?? '' }).items], [[a], [b]]);
});
