/** Rewards: the newest under one (target, name) is live, the earlier ones are history. A reward never changes a step. */
import { and, asc, eq, getTableColumns, inArray, isNull, lte, sql } from './drizzle.ts';
import { StoreError } from './errors.ts';
import type { Database } from './open.ts';
import { rewards, rollouts, steps, type rewardKinds } from './schema.ts';

export type Reward = typeof rewards.$inferSelect;
export type RewardKind = (typeof rewardKinds)[number];

export type RewardTarget =
  | { readonly rolloutId: string }
  | { readonly stepId: string }
  /** The id that the client was given; `choice` where the call had n > 1 (default 0). */
  | { readonly responseId: string; readonly choice?: number };

export interface NewReward {
  readonly target: RewardTarget;
  readonly value: number;
  /** Default `reward`. */
  readonly name?: string;
  /** Default `outcome`. */
  readonly kind?: RewardKind;
  /** Who gave it: `agent`, `command`, `exit_status`, `admin`. */
  readonly source: string;
  readonly at?: number;
}

export interface GivenReward {
  readonly reward: Reward;
  /** The id of the reward that was live under this name before, now history. */
  readonly supersededId: number | null;
}

/** @throws StoreError `unknown_rollout`, `unknown_step`, `unknown_response`; `conflict` for a value that is not a number. */
export function giveReward(db: Database, given: NewReward): GivenReward {
  const at = given.at ?? Date.now();
  const name = given.name ?? 'reward';
  return db.write(() => {
    const { rolloutId, stepId } = resolveTarget(db, given.target);
    const superseded = db.prepared(supersedeReward).get(at, name, rolloutId, stepId);
    const row = { rolloutId, stepId, name, kind: given.kind ?? 'outcome', value: given.value, source: given.source, createdAt: at, supersededAt: null };
    const { id } = db.prepared(insertReward).get(row);
    return { reward: { id, ...row }, supersededId: superseded?.id ?? null };
  });
}

/** The rollout (and step) that a target stands for. @throws StoreError `unknown_rollout`, `unknown_step`, `unknown_response`. */
export function resolveTarget(db: Database, target: RewardTarget): { rolloutId: string; stepId: string | null } {
  if ('rolloutId' in target) {
    const row = db.prepared(selectRolloutId).get({ id: target.rolloutId });
    if (row === undefined) throw new StoreError('unknown_rollout', `There is no rollout ${target.rolloutId}.`);
    return { rolloutId: target.rolloutId, stepId: null };
  }
  if ('stepId' in target) {
    const row = db.prepared(selectStepOwner).get({ id: target.stepId });
    if (row === undefined) throw new StoreError('unknown_step', `There is no step ${target.stepId}.`);
    return { rolloutId: row.rolloutId, stepId: target.stepId };
  }
  const row = db.prepared(selectResponseOwner).get({ responseId: target.responseId, choice: target.choice ?? 0 });
  if (row === undefined) throw new StoreError('unknown_response', `No step has the response id ${target.responseId}.`);
  return { rolloutId: row.rolloutId, stepId: row.id };
}

export interface RewardFilter {
  readonly rolloutId: string;
  /** Also the history; default only the live ones. */
  readonly withSuperseded?: boolean;
}

/** In the order they were given. */
export function listRewards(db: Database, filter: RewardFilter): Reward[] {
  const live = filter.withSuperseded === true ? undefined : isNull(rewards.supersededAt);
  return db.orm.select().from(rewards).where(and(eq(rewards.rolloutId, filter.rolloutId), live)).orderBy(asc(rewards.id)).all();
}

/** The id of the newest reward, 0 before the first. Ids rise with every reward: what was live at an id never changes. */
export function lastRewardId(db: Database): number {
  return db.prepared(selectLastId).get() ?? 0;
}

/** With the place in its attempt of the step that it was given to; null: it was given to the rollout. */
export type LiveReward = Reward & { readonly sequence: number | null };

/**
 * Rewards (of the rollouts and of their steps) by rollout id, in the order they were given; a rollout without any is not in the map.
 * @param through those that were live when the reward of this id was the newest; default: those that are
 */
export function liveRewards(db: Database, rolloutIds: readonly string[], through: number = Number.MAX_SAFE_INTEGER): Map<string, LiveReward[]> {
  const live = new Map<string, LiveReward>();
  for (let from = 0; from < rolloutIds.length; from += idsPerQuery) {
    const rows = db.orm.select({ ...getTableColumns(rewards), sequence: steps.sequence }).from(rewards).leftJoin(steps, eq(steps.id, rewards.stepId))
      .where(and(inArray(rewards.rolloutId, rolloutIds.slice(from, from + idsPerQuery)), lte(rewards.id, through)))
      .orderBy(asc(rewards.id)).all();
    for (const row of rows) {
      const target = JSON.stringify([row.rolloutId, row.stepId, row.name]);
      live.delete(target); // the newest under a (target, name) is live, at the place where it was given
      live.set(target, row);
    }
  }
  return Map.groupBy(live.values(), (reward) => reward.rolloutId);
}

/** SQLite allows 32,766 parameters in a statement. */
const idsPerQuery = 1000;

const p = sql.placeholder;
const selectRolloutId = (db: Database) => db.orm.select({ id: rollouts.id }).from(rollouts).where(eq(rollouts.id, p('id'))).prepare();
const selectStepOwner = (db: Database) => db.orm.select({ rolloutId: steps.rolloutId }).from(steps).where(eq(steps.id, p('id'))).prepare();
const selectResponseOwner = (db: Database) => db.orm.select({ id: steps.id, rolloutId: steps.rolloutId }).from(steps)
  .where(and(eq(steps.responseId, p('responseId')), eq(steps.choice, p('choice')))).limit(1).prepare();
const selectLastId = (db: Database) => db.sqlite.prepare<[], number>('select max(id) from rewards').pluck();
const supersedeReward = (db: Database) => db.sqlite.prepare<[number, string, string, string | null], { id: number }>(
  'update rewards set superseded_at = ? where name = ? and rollout_id = ? and step_id is ? and superseded_at is null returning id');
const insertReward = (db: Database) => db.orm.insert(rewards).values({
  rolloutId: p('rolloutId'), stepId: p('stepId'), name: p('name'), kind: p('kind'), value: p('value'), source: p('source'),
  createdAt: p('createdAt'), supersededAt: p('supersededAt'),
}).returning({ id: rewards.id }).prepare();
