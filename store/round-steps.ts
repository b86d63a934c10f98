/** Which step went into which round, with what advantage and weight; or why it was left out. */
import { and, asc, eq, gt, isNotNull, isNull, sql } from './drizzle.ts';
import type { Database } from './open.ts';
import { defaultPageSize, type Page, toPage } from './page.ts';
import { roundSteps } from './schema.ts';

export type RoundStep = typeof roundSteps.$inferSelect;
/** What is known of a step when it is chosen or left out. */
export type PlannedStep = Pick<RoundStep, 'stepId' | 'staleness' | 'leftOutReason' | 'digest'>;
/** What training made of it. */
export type StepShare = Pick<RoundStep, 'stepId'> & { readonly credit: number; readonly advantage: number; readonly weight: number };

/** All or none. @throws StoreError `conflict` when the round has a step already */
export function insertRoundSteps(db: Database, roundId: number, rows: readonly PlannedStep[]): void {
  db.write(() => { for (const row of rows) db.prepared(insertRoundStep).run({ ...row, roundId }); });
}

/** All or none; a round that is run again writes the same. */
export function recordStepShares(db: Database, roundId: number, rows: readonly StepShare[]): void {
  db.write(() => { for (const row of rows) db.prepared(updateRoundStep).run({ ...row, roundId }); });
}

/** A step that a round used, and found that it cannot be used. */
export function leaveOutStep(db: Database, roundId: number, stepId: string, reason: string): void {
  db.write(() => db.orm.update(roundSteps).set({ leftOutReason: reason }).where(and(eq(roundSteps.roundId, roundId), eq(roundSteps.stepId, stepId))).run());
}

/** In order of step id, which is the cursor. `used`: only those that went in (true) or were left out (false). */
export function listRoundSteps(db: Database, roundId: number, options: { limit?: number; after?: string; used?: boolean } = {}): Page<RoundStep> {
  const { limit = defaultPageSize, after, used } = options;
  const rows = db.orm.select().from(roundSteps).where(and(
    eq(roundSteps.roundId, roundId),
    after === undefined ? undefined : gt(roundSteps.stepId, after),
    used === undefined ? undefined : (used ? isNull : isNotNull)(roundSteps.leftOutReason),
  )).orderBy(asc(roundSteps.stepId)).limit(limit + 1).all();
  return toPage(rows, limit, (row) => row.stepId);
}

const p = sql.placeholder;
const insertRoundStep = (db: Database) => db.orm.insert(roundSteps).values({
  roundId: p('roundId'), stepId: p('stepId'), staleness: p('staleness'), leftOutReason: p('leftOutReason'), digest: p('digest'),
}).prepare();
const updateRoundStep = (db: Database) => db.sqlite.prepare<StepShare & { readonly roundId: number }>(
  'update round_steps set credit = @credit, advantage = @advantage, weight = @weight where round_id = @roundId and step_id = @stepId');
