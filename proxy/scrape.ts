/** GET /metrics: counters as they stand, gauges as they are now. */
import { sql } from '../store/drizzle.ts';
import type { Database } from '../store/open.ts';
import { listRounds } from '../store/rounds.ts';
import { rounds, roundStates } from '../store/schema.ts';
import type { StoreWriter } from '../store/writer.ts';
import type { PolicyBackend } from './backends/backend.ts';
import type { AppContext } from './context.ts';
import type { CallGate } from './gate.ts';
import type { Metrics } from './metrics.ts';

export interface ScrapeParts {
  readonly metrics: Metrics;
  readonly db: Database;
  readonly writer: StoreWriter;
  readonly backend: PolicyBackend;
  readonly gate: CallGate;
}

/** A finished round is among the newest ones: few wait at a time. */
const roundsLookedAt = 20;

export async function scrape({ metrics, db, writer, backend, gate }: ScrapeParts, c: AppContext): Promise<Response> {
  metrics.openCalls.set(gate.size);
  const { queuedCommands, ahead } = writer.stats();
  metrics.storeQueue.set(queuedCommands);
  metrics.ahead.set(ahead.entries);
  metrics.aheadBytes.set(ahead.bytes);
  metrics.currentVersion.set(backend.currentVersion());
  metrics.exact.set(backend.capabilities().exact ? 1 : 0);
  metrics.residentBytes.set(process.memoryUsage.rss());
  readRounds(metrics, db);
  for (const [stat, value] of Object.entries(await backend.stats?.() ?? {})) metrics.engine.set({ stat }, value);
  return c.body(await metrics.registry.metrics(), 200, { 'content-type': metrics.registry.contentType });
}

function readRounds(metrics: Metrics, db: Database): void {
  const counts = db.orm.select({ state: rounds.state, count: sql<number>`count(*)` }).from(rounds).groupBy(rounds.state).all();
  for (const state of roundStates) metrics.rounds.set({ state }, counts.find((row) => row.state === state)?.count ?? 0);
  const last = listRounds(db, { limit: roundsLookedAt }).items.find((round) => round.metrics !== null);
  if (last?.metrics == null) return;
  metrics.lastRoundId.set(last.id);
  metrics.lastRound.reset();
  for (const [metric, value] of Object.entries(last.metrics)) metrics.lastRound.set({ metric }, value);
}
