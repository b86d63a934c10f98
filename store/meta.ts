/** Facts about a data directory as a whole, each under its own key. */
import { eq } from './drizzle.ts';
import type { Database } from './open.ts';
import { meta } from './schema.ts';

/** `model`: fingerprint of the base model. `self_test`: what sampler and trainer were when their log-probs last agreed. `accelerator`: whose it is, where it is shared. */
export type MetaKey = 'model' | 'self_test' | 'accelerator';

export function readMeta(db: Database, key: MetaKey): string | undefined {
  return db.orm.select().from(meta).where(eq(meta.key, key)).get()?.value;
}

export function writeMeta(db: Database, key: MetaKey, value: string): void {
  db.write(() => { db.orm.insert(meta).values({ key, value }).onConflictDoUpdate({ target: meta.key, set: { value } }).run(); });
}
