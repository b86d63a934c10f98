/** API keys. The secret is given out once and stored as SHA-256. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { desc, eq, sql } from './drizzle.ts';
import { StoreError } from './errors.ts';
import { newId } from './ids.ts';
import type { Database } from './open.ts';
import { requireRollout } from './rollouts.ts';
import { keys, type keyScopes } from './schema.ts';

export type KeyScope = (typeof keyScopes)[number];
/** Never with its hash. */
export type Key = Omit<typeof keys.$inferSelect, 'hash'>;

export interface NewKey {
  readonly scope: KeyScope;
  /** The one rollout that a key of scope `rollout` is for. */
  readonly rolloutId?: string | null;
  readonly name?: string | null;
  /** Unix milliseconds. */
  readonly expiresAt?: number | null;
  readonly at?: number;
}

export interface MintedKey { readonly key: Key; /** `sk-fg-…`, 256 bits; not stored. */ readonly secret: string }

/** @throws StoreError `unknown_rollout`; `conflict` when scope and rollout do not go together. */
export function mintKey(db: Database, given: NewKey): MintedKey {
  const rolloutId = given.rolloutId ?? null;
  if ((given.scope === 'rollout') !== (rolloutId !== null)) throw new StoreError('conflict', 'A key is for a rollout exactly when its scope is "rollout".');
  const secret = `sk-fg-${randomBytes(32).toString('base64url')}`;
  const at = given.at ?? Date.now();
  const key: Key = { id: newId('fk', at), scope: given.scope, rolloutId, name: given.name ?? null, createdAt: at, expiresAt: given.expiresAt ?? null, revokedAt: null };
  return db.write(() => {
    if (rolloutId !== null) requireRollout(db, rolloutId);
    db.prepared(insertKey).run({ ...key, hash: hashSecret(secret) });
    return { key, secret };
  });
}

/** SHA-256, hex. */
export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

/** The key that this secret is, unless it was revoked or has expired. */
export function lookupKey(db: Database, secret: string, now: number = Date.now()): Key | undefined {
  const hash = hashSecret(secret);
  const row = db.prepared(selectKey).get({ hash });
  if (row === undefined || !timingSafeEqual(Buffer.from(row.hash), Buffer.from(hash))) return undefined;
  const { hash: _hash, ...key } = row;
  return key.revokedAt !== null || (key.expiresAt !== null && key.expiresAt <= now) ? undefined : key;
}

/** Revoking twice changes nothing. @throws StoreError `unknown_key`. */
export function revokeKey(db: Database, id: string, at: number = Date.now()): void {
  db.write(() => {
    const revoked = db.orm.update(keys).set({ revokedAt: sql`coalesce(${keys.revokedAt}, ${at})` }).where(eq(keys.id, id)).run();
    if (revoked.changes === 0) throw new StoreError('unknown_key', `There is no key ${id}.`);
  });
}

/** Newest first, revoked and expired ones too. */
export function listKeys(db: Database): Key[] {
  return db.orm.query.keys.findMany({ columns: { hash: false }, orderBy: desc(keys.createdAt) }).sync();
}

const p = sql.placeholder;
const selectKey = (db: Database) => db.orm.select().from(keys).where(eq(keys.hash, p('hash'))).prepare();
const insertKey = (db: Database) => db.orm.insert(keys).values({
  id: p('id'), hash: p('hash'), scope: p('scope'), rolloutId: p('rolloutId'), name: p('name'), createdAt: p('createdAt'),
  expiresAt: p('expiresAt'), revokedAt: p('revokedAt'),
}).prepare();
