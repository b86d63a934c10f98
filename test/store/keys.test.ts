import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { StoreError, type StoreErrorCode } from '../../store/errors.ts';
import { listKeys, lookupKey, mintKey, revokeKey } from '../../store/keys.ts';
import { createRollout } from '../../store/rollouts.ts';
import { temporaryDatabase } from './temporary.ts';

const refused = (code: StoreErrorCode) => (error: unknown): boolean => error instanceof StoreError && error.code === code;

describe('keys', () => {
  it('are found by their secret, of which only the hash is stored', (t) => {
    const db = temporaryDatabase(t);
    const { rollout } = createRollout(db, { mode: 'train' });
    const { key, secret } = mintKey(db, { scope: 'rollout', rolloutId: rollout.id, name: 'ci', at: 5 });
    assert.match(secret, /^sk-fg-[\w-]{43}$/);
    assert.deepEqual(lookupKey(db, secret), key);
    assert.deepEqual(key, { id: key.id, scope: 'rollout', rolloutId: rollout.id, name: 'ci', createdAt: 5, expiresAt: null, revokedAt: null });
    const stored = db.sqlite.prepare<[], { hash: string }>('select * from keys').get();
    assert.match(stored?.hash ?? '', /^[0-9a-f]{64}$/);
    assert.ok(!JSON.stringify(stored).includes(secret.slice(6)));
    assert.equal(lookupKey(db, `${secret}x`), undefined);
  });

  it('end by expiry and by being revoked', (t) => {
    const db = temporaryDatabase(t);
    const expiring = mintKey(db, { scope: 'agent', expiresAt: 100 });
    assert.equal(lookupKey(db, expiring.secret, 99)?.id, expiring.key.id);
    assert.equal(lookupKey(db, expiring.secret, 100), undefined);
    const revoked = mintKey(db, { scope: 'admin' });
    revokeKey(db, revoked.key.id, 7);
    revokeKey(db, revoked.key.id, 8);
    assert.equal(lookupKey(db, revoked.secret), undefined);
    assert.equal(listKeys(db).find((key) => key.id === revoked.key.id)?.revokedAt, 7);
    assert.ok(listKeys(db).every((key) => !('hash' in key)));
    assert.throws(() => revokeKey(db, 'fk_none'), refused('unknown_key'));
  });

  it('of scope rollout are for one rollout that exists, others for none', (t) => {
    const db = temporaryDatabase(t);
    assert.throws(() => mintKey(db, { scope: 'rollout' }), refused('conflict'));
    assert.throws(() => mintKey(db, { scope: 'agent', rolloutId: 'ro_x' }), refused('conflict'));
    assert.throws(() => mintKey(db, { scope: 'rollout', rolloutId: 'ro_none' }), refused('unknown_rollout'));
  });
});
