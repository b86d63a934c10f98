/** /admin/rollouts: one execution of an agent on a task, its attempts, and the key that its calls are known by. */
import { Hono } from 'hono';
import { newId } from '../../store/ids.ts';
import type { Database } from '../../store/open.ts';
import { getRollout, listRollouts } from '../../store/rollouts.ts';
import { listSteps } from '../../store/steps.ts';
import type { StoreWriter } from '../../store/writer.ts';
import type { Trajectories } from '../capture/trajectories.ts';
import { readJson, type AppContext, type AppEnv } from '../context.ts';
import { ApiError } from '../errors.ts';
import type { PolicySwitch } from '../policy-switch.ts';
import { readQuery, rolloutQuery } from './query.ts';
import { listOf, rewardRow, snakeKeys, stepSummaryRow } from './rows.ts';
import { createRolloutSchema, endRolloutSchema, newAttemptSchema, type CreatedRollout } from './wire.ts';

export interface RolloutParts {
  readonly db: Database;
  readonly writer: StoreWriter;
  readonly trajectories: Trajectories;
  readonly policies: PolicySwitch;
}

/** Steps shown with a rollout; the rest is at /admin/steps?rollout=. */
const maxStepsShown = 500;

export function rolloutRoutes(parts: RolloutParts): Hono<AppEnv> {
  const { db, writer, trajectories, policies } = parts;
  return new Hono<AppEnv>()
    .post('/', async (c) => c.json(await createRollout(parts, c), 201))
    .get('/', (c) => {
      const { cursor, task_id: taskId, ...filter } = readQuery(c, rolloutQuery);
      return c.json(listOf(listRollouts(db, { ...filter, taskId, after: cursor }), (row) => ({ ...snakeKeys(row), object: 'rollout' })));
    })
    .get('/:id', (c) => c.json(rolloutDetail(db, c.req.param('id'))))
    .post('/:id/end', async (c) => {
      const { state, detail } = await readJson(c, endRolloutSchema);
      const rollout = await writer.write('endRollout', { rolloutId: c.req.param('id'), state, detail: detail ?? null });
      trajectories.forget(rollout.id);
      if (rollout.pinnedVersion !== null) policies.unpin(rollout.pinnedVersion, rollout.id);
      return c.json({ ...snakeKeys(rollout), object: 'rollout' });
    })
    .post('/:id/attempts', async (c) => {
      const { state, detail } = await readJson(c, newAttemptSchema);
      const attempt = await writer.write('newAttempt', { rolloutId: c.req.param('id'), previous: state, detail: detail ?? null });
      trajectories.forget(attempt.rolloutId);
      return c.json({ ...snakeKeys(attempt), object: 'attempt' }, 201);
    });
}

async function createRollout({ writer, trajectories, policies }: RolloutParts, c: AppContext): Promise<CreatedRollout> {
  const body = await readJson(c, createRolloutSchema);
  const id = newId('ro');
  if (body.version !== undefined) await policies.pin(body.version, id);
  // One after the other in the writer's order, often in one commit.
  const [started, { secret }] = await Promise.all([
    writer.write('createRollout', { id, taskId: body.task_id ?? null, mode: body.mode, input: body.input, metadata: body.metadata, pinnedVersion: body.version ?? null }),
    writer.write('mintKey', { scope: 'rollout', rolloutId: id }),
  ]);
  trajectories.started(started);
  return { id, object: 'rollout', attempt_id: started.attempt.id, base_url: `/rollouts/${id}/v1`, api_key: secret };
}

function rolloutDetail(db: Database, id: string): object {
  const rollout = getRollout(db, id);
  if (rollout === undefined) throw new ApiError(404, `There is no rollout ${id}. GET /admin/rollouts lists them.`, { code: 'unknown_rollout' });
  const { attempts, counts, rewards, ...row } = rollout;
  return {
    ...snakeKeys(row),
    object: 'rollout',
    attempts: attempts.map((attempt) => ({ ...snakeKeys(attempt), object: 'attempt' })),
    counts: snakeKeys(counts),
    rewards: rewards.map(rewardRow),
    steps: listSteps(db, { rolloutId: id, order: 'oldest', limit: maxStepsShown }).items.map(stepSummaryRow),
  };
}
