/** /admin/steps, and all of them as JSONL: /admin/export. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { Hono } from 'hono';
import { exportSteps, type ExportFilter } from '../../store/export.ts';
import type { Database } from '../../store/open.ts';
import { getStep, listSteps } from '../../store/steps.ts';
import type { AppContext, AppEnv } from '../context.ts';
import { ApiError } from '../errors.ts';
import { exportQuery, readQuery, stepQuery } from './query.ts';
import { listOf, stepRow, stepSummaryRow } from './rows.ts';

export function stepRoutes(db: Database): Hono<AppEnv> {
  return new Hono<AppEnv>()
    .get('/', (c) => {
      const { cursor, rollout, attempt, call, ...filter } = readQuery(c, stepQuery);
      return c.json(listOf(listSteps(db, { ...filter, rolloutId: rollout, attemptId: attempt, callId: call, after: cursor }), stepSummaryRow));
    })
    .get('/:id', (c) => {
      const step = getStep(db, c.req.param('id'));
      if (step === undefined) throw new ApiError(404, `There is no step ${c.req.param('id')}. GET /admin/steps lists them.`, { code: 'unknown_step' });
      return c.json(stepRow(step));
    });
}

/** One JSON object a line, as `fulgurite export` writes them. A reader that is slow, or gone, stops the reading of the database. */
export async function exportLines(db: Database, c: AppContext): Promise<Response> {
  const { round, version, rollout, mode, since } = readQuery(c, exportQuery);
  const { outgoing } = c.env;
  outgoing.writeHead(200, { 'content-type': 'application/x-ndjson; charset=utf-8', 'cache-control': 'no-cache' });
  await pipeline(Readable.from(lines(db, { roundId: round, policyVersion: version, rolloutId: rollout, mode, since })), outgoing);
  return RESPONSE_ALREADY_SENT;
}

async function* lines(db: Database, filter: ExportFilter): AsyncGenerator<string> {
  for (const step of exportSteps(db, filter)) {
    yield `${JSON.stringify(step)}\n`;
    // Calls come first: one step, then whatever waits.
    await nextTurn();
  }
}
