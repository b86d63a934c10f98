/** Policy versions and which one is current. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { and, asc, desc, eq, isNull, ne, sql } from './drizzle.ts';
import { StoreError } from './errors.ts';
import { readMeta, writeMeta } from './meta.ts';
import type { Database } from './open.ts';
import { policies, promotions, rounds, roundSteps, type policyKinds } from './schema.ts';
import { policyTransitions, requireTransition, type RoundState } from './transitions.ts';

export type Policy = typeof policies.$inferSelect;
export type Promotion = typeof promotions.$inferSelect;
export type PolicyKind = (typeof policyKinds)[number];
export type PromotionReason = 'initial' | 'round' | 'admin' | 'rollback';

/**
 * Makes version 0, the base model, current in a new data directory; in an old one does nothing.
 * @param fingerprint of the base model; null where the backend cannot tell.
 * @throws StoreError `model_mismatch`: this data directory belongs to another base model.
 */
export function ensureBasePolicy(db: Database, fingerprint: string | null, at: number = Date.now()): void {
  db.write(() => {
    if (fingerprint !== null) bindModel(db, fingerprint);
    const added = db.orm.insert(policies).values({ version: 0, kind: 'base', state: 'promoted', createdAt: at }).onConflictDoNothing().run();
    if (added.changes > 0) db.orm.insert(promotions).values({ version: 0, previousVersion: null, reason: 'initial', createdAt: at }).run();
  });
}

function bindModel(db: Database, fingerprint: string): void {
  requireBaseModel(db, fingerprint);
  writeMeta(db, 'model', fingerprint);
}

/** @throws StoreError `model_mismatch`: this data directory belongs to another base model. One that belongs to none yet passes. */
export function requireBaseModel(db: Database, fingerprint: string): void {
  const bound = readMeta(db, 'model');
  if (bound !== undefined && bound !== fingerprint) throw new StoreError('model_mismatch', `${db.dataDir} was made with another base model; give that model or another dataDir.`);
}

/** The version that the next policy gets: the trainer names its directory so, then calls `insertCandidate`. */
export function nextVersion(db: Database): number {
  return (db.orm.select({ max: sql<number | null>`max(${policies.version})` }).from(policies).get()?.max ?? 0) + 1;
}

export interface NewPolicy {
  /** As `nextVersion` said when its directory was written. */
  readonly version: number;
  readonly kind: Exclude<PolicyKind, 'base'>;
  readonly parentVersion: number;
  readonly roundId: number | null;
  /** Relative to the data directory: `policies/3`. */
  readonly directory: string;
  readonly sha256: string;
  readonly at?: number;
}

/** @throws StoreError `conflict` when the version is not the next one, `missing_policy` when its directory is not there. */
export function insertCandidate(db: Database, given: NewPolicy): Policy {
  return db.write(() => {
    const next = nextVersion(db);
    if (given.version !== next) throw new StoreError('conflict', `The next policy version is ${next}, not ${given.version}.`);
    requireFiles(db, given);
    const { at, ...columns } = given;
    return db.orm.insert(policies).values({ ...columns, state: 'candidate', createdAt: at ?? Date.now() }).returning().get();
  });
}

export function findPolicy(db: Database, version: number): Policy | undefined {
  return db.orm.select().from(policies).where(eq(policies.version, version)).get();
}

/** The last change of the current version; undefined before the database was first opened for serving. */
export function currentPromotion(db: Database): Promotion | undefined {
  return db.prepared(selectCurrent).get();
}

/** 0 before the first promotion. */
export function currentVersion(db: Database): number {
  return currentPromotion(db)?.version ?? 0;
}

export interface Promote { readonly version: number; readonly reason: PromotionReason; readonly at?: number }

/**
 * Makes a version current; promoting the current one changes nothing.
 * @throws StoreError `unknown_policy`, `rejected_policy`, `missing_policy` (its directory is gone).
 */
export function promote(db: Database, { version, reason, at = Date.now() }: Promote): Promotion {
  return db.write(() => {
    const current = currentPromotion(db);
    if (current?.version === version) return current;
    const policy = requirePolicy(db, version);
    if (policy.state === 'rejected') throw new StoreError('rejected_policy', `Policy version ${version} was rejected and cannot be promoted.`);
    requireFiles(db, policy);
    if (policy.state === 'candidate') setPolicyState(db, policy, 'promoted');
    return db.orm.insert(promotions).values({ version, previousVersion: current?.version ?? null, reason, createdAt: at }).returning().get();
  });
}

export interface Rollback { /** Default: the version that was current before this one. */ readonly version?: number | undefined; readonly at?: number }

/**
 * Goes back to a version that was current before. Without a version: to the one that the current version took over from, so
 * that rolling back twice goes back two versions.
 * @throws StoreError `no_previous_version`, `unknown_policy`, `rejected_policy`, `missing_policy`.
 */
export function rollback(db: Database, { version, at = Date.now() }: Rollback = {}): Promotion {
  return db.write(() => {
    const target = version ?? previousVersion(db);
    if (target === null) throw new StoreError('no_previous_version', `Policy version ${currentVersion(db)} is the first one; there is nothing to go back to.`);
    if (requirePolicy(db, target).state === 'candidate') throw new StoreError('no_previous_version', `Policy version ${target} was never current; promote it instead.`);
    return promote(db, { version: target, reason: 'rollback', at });
  });
}

/** What the current version took over from when it was promoted last (not when it was rolled back to). */
function previousVersion(db: Database): number | null {
  return db.orm.select({ previous: promotions.previousVersion }).from(promotions)
    .where(and(eq(promotions.version, currentVersion(db)), ne(promotions.reason, 'rollback')))
    .orderBy(desc(promotions.id)).limit(1).get()?.previous ?? null;
}

/** A candidate that did not pass its gate. @throws StoreError `unknown_policy`, `illegal_transition`. */
export function rejectPolicy(db: Database, version: number): void {
  db.write(() => { setPolicyState(db, requirePolicy(db, version), 'rejected'); });
}

function setPolicyState(db: Database, policy: Policy, state: 'promoted' | 'rejected'): void {
  requireTransition(policyTransitions, `Policy version ${policy.version}`, policy.state, state);
  db.orm.update(policies).set({ state }).where(eq(policies.version, policy.version)).run();
}

/** @throws StoreError `unknown_policy`. */
export function requirePolicy(db: Database, version: number): Policy {
  const policy = findPolicy(db, version);
  if (policy === undefined) throw new StoreError('unknown_policy', `There is no policy version ${version}.`);
  return policy;
}

function requireFiles(db: Database, policy: { version: number; directory: string | null }): void {
  if (policy.directory !== null && !existsSync(join(db.dataDir, policy.directory))) {
    throw new StoreError('missing_policy', `The files of policy version ${policy.version} are not at ${join(db.dataDir, policy.directory)}.`);
  }
}

export interface PolicySummary extends Policy {
  readonly current: boolean;
  /** When it last became current. */
  readonly promotedAt: number | null;
  /** The round that made it; null for the base model. */
  readonly round: { readonly id: number; readonly state: RoundState; readonly metrics: Record<string, number> | null; readonly steps: number } | null;
}

/** All versions, newest first, each with the round that made it and how many steps went into that. */
export function listPolicies(db: Database): PolicySummary[] {
  const current = currentVersion(db);
  return db.orm.select({
    policy: policies,
    promotedAt: sql<number | null>`(select max(${promotions.createdAt}) from ${promotions} where ${promotions.version} = ${policies.version})`,
    round: { id: rounds.id, state: rounds.state, metrics: rounds.metrics },
    steps: db.orm.$count(roundSteps, and(eq(roundSteps.roundId, policies.roundId), isNull(roundSteps.leftOutReason))),
  }).from(policies).leftJoin(rounds, eq(rounds.id, policies.roundId)).orderBy(desc(policies.version)).all()
    .map(({ policy, promotedAt, round, steps }) => ({ ...policy, current: policy.version === current, promotedAt, round: round && { ...round, steps } }));
}

/** Every change of the current version, oldest first. */
export function listPromotions(db: Database): Promotion[] {
  return db.orm.select().from(promotions).orderBy(asc(promotions.id)).all();
}

/** From a version back to the base model: each version and the round that made it (whose steps `listRoundSteps` gives). */
export function policyLineage(db: Database, version: number): Policy[] {
  const lineage: Policy[] = [];
  for (let next: number | null = version; next !== null;) {
    const policy: Policy = requirePolicy(db, next);
    lineage.push(policy);
    next = policy.parentVersion;
  }
  return lineage;
}

const selectCurrent = (db: Database) => db.orm.select().from(promotions).orderBy(desc(promotions.id)).limit(1).prepare();
