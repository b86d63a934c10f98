/** The call that a retry is of, where memory does not know it any more: after a restart, say. */
import type { Database } from '../../store/open.ts';
import { getStep } from '../../store/steps.ts';
import { retryWindowMs, type Retried } from './retries.ts';
import type { Trajectory } from './trajectories.ts';

/** Sub-agents may have called since; a client does not get further before it tries again. */
const newest = 8;

/** The newest call of this agent with the very same request; null where there is none within the window. */
export function recordedCall(db: Database, { rolloutId, attemptId }: Trajectory, agent: string, requestBody: Buffer): Retried | null {
  const request = requestBody.toString('utf8');
  const rows = db.prepared(selectNewest).all(rolloutId, attemptId, agent, Date.now() - retryWindowMs, newest);
  const row = rows.find(({ id }) => getStep(db, id)?.request === request);
  if (row === undefined) return null;
  return { position: { callId: row.callId, rolloutId, attemptId, sequence: row.sequence }, mayBeWhole: row.state === 'complete' };
}

interface CallRow { readonly id: string; readonly callId: string; readonly sequence: number; readonly state: string }

const selectNewest = (db: Database) => db.sqlite.prepare<[string, string, string, number, number], CallRow>(`
  select id, call_id as callId, sequence, state from steps
  where rollout_id = ? and attempt_id = ? and agent = ? and choice = 0 and created_at >= ? order by sequence desc, created_at desc limit ?`);
