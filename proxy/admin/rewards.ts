/** POST /v1/rewards: may come late, in any order, by rollout, by step, or by the response id that the client was given. */
import type { Database } from '../../store/open.ts';
import { resolveTarget } from '../../store/rewards.ts';
import type { StoreWriter } from '../../store/writer.ts';
import { requireRollout, requireScope } from '../auth.ts';
import { namedRollout } from '../capture/identity.ts';
import { readJson, sourceOf, type AppContext } from '../context.ts';
import { ApiError } from '../errors.ts';
import type { Metrics } from '../metrics.ts';
import { rewardRow, rewardTarget } from './rows.ts';
import { rewardSchema } from './wire.ts';

export interface RewardParts {
  readonly db: Database;
  readonly writer: StoreWriter;
  readonly metrics: Metrics;
}

export async function giveReward({ db, writer, metrics }: RewardParts, c: AppContext): Promise<Response> {
  const source = sourceOf(c);
  requireScope(source.principal, 'agent');
  const body = await readJson(c, rewardSchema);
  const named = namedRollout(source);
  const target = rewardTarget(body) ?? (named === null ? null : { rolloutId: named });
  if (target === null) {
    throw new ApiError(400, 'Say what the reward is for: "step", "response_id" or "rollout", or use the rollout\'s own URL or key.', { code: 'missing_required_parameter', param: 'rollout' });
  }
  await writer.settled();
  requireRollout(source.principal, resolveTarget(db, target).rolloutId);
  const { reward, supersededId } = await writer.write('giveReward', {
    target, value: body.value, name: body.name, kind: body.kind ?? ('rolloutId' in target ? 'outcome' : 'intermediate'), source: body.source ?? 'agent',
  });
  metrics.rewards.inc({ kind: reward.kind });
  return c.json({ ...rewardRow(reward), superseded_id: supersededId }, 201);
}
