/** /admin/rounds: a round is requested here and done by the trainer; its progress is read from its row. */
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { Hono } from 'hono';
import { trainerSchema, type TrainerConfig } from '../../config/schema.ts';
import { watchChanges } from '../../store/changes.ts';
import type { Database } from '../../store/open.ts';
import { findRound, getRound, listRounds, type Round } from '../../store/rounds.ts';
import { roundTransitions } from '../../store/transitions.ts';
import type { StoreWriter } from '../../store/writer.ts';
import { parseWith, readJson, type AppContext, type AppEnv } from '../context.ts';
import { ApiError } from '../errors.ts';
import { EventStream } from '../event-stream.ts';
import { pathNumber, readQuery, roundQuery } from './query.ts';
import { listOf, snakeKeys } from './rows.ts';
import { createRoundSchema } from './wire.ts';

export interface RoundParts {
  readonly db: Database;
  readonly writer: StoreWriter;
  readonly trainer: TrainerConfig;
  /** Null: the configuration does not say where the policy's weights are, so no trainer can work here. */
  readonly trainedModel: string | null;
  /** Aborts when the server ends. */
  readonly shutdown: AbortSignal;
}

const pollMs = 50;
/** Settings of the trainer's process, not of a round. */
const processSettings = ['enabled', 'pollMs', 'device', 'threads'];

export function roundRoutes(parts: RoundParts): Hono<AppEnv> {
  const { db, writer, trainer, trainedModel } = parts;
  return new Hono<AppEnv>()
    .post('/', async (c) => {
      const { config, promote, seed } = await readJson(c, createRoundSchema);
      checkOverrides(trainer, config);
      if (trainedModel === null) throw new ApiError(409, 'There is nothing to train: this server does not know its policy\'s weights. Give backend.model, with backend.kind "embedded" or "vllm".', { code: 'no_model_to_train' });
      const round = await writer.write('requestRound', { config, promote: promote ?? trainer.promote, seed: seed ?? null });
      return c.json(roundRow(round), 202);
    })
    .get('/', (c) => {
      const { cursor, ...options } = readQuery(c, roundQuery);
      return c.json(listOf(listRounds(db, { ...options, after: cursor }), roundRow));
    })
    .get('/:id', (c) => {
      const { usedSteps, leftOut, ...round } = requireRound(getRound(db, pathNumber(c, 'id')), c);
      return c.json({ ...roundRow(round), used_steps: usedSteps, left_out: leftOut });
    })
    .get('/:id/events', (c) => roundEvents(parts, c));
}

/** The row after every change of it, until the round ends; then the stream ends. */
async function roundEvents({ db, shutdown }: RoundParts, c: AppContext): Promise<Response> {
  const id = requireRound(findRound(db, pathNumber(c, 'id')), c).id;
  const gone = new AbortController();
  c.env.outgoing.once('close', () => gone.abort());
  const signal = AbortSignal.any([gone.signal, shutdown]);
  const stream = new EventStream(c.env.outgoing, {}, signal);
  let last = '';
  for await (const _ of watchChanges(db, pollMs, signal)) {
    const round = findRound(db, id);
    if (round === undefined) break;
    const row = JSON.stringify(roundRow(round));
    if (row !== last) await stream.send([{ data: last = row }]);
    if (roundTransitions[round.state].length === 0 || round.state === 'published') break;
  }
  stream.end();
  return RESPONSE_ALREADY_SENT;
}

/** The whole configuration that the overrides would make must be a valid one. @throws ApiError 400 with `config.…` as `param`. */
function checkOverrides(trainer: TrainerConfig, overrides: Record<string, unknown>): void {
  const process = processSettings.find((name) => name in overrides);
  if (process !== undefined) throw new ApiError(400, `config.${process} is a setting of the trainer's process, not of one round. Set it in the configuration file.`, { code: 'invalid_value', param: `config.${process}` });
  parseWith(trainerSchema, merge(trainer, overrides), 'config.');
}

function merge(base: Readonly<Record<string, unknown>>, over: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key];
    merged[key] = isRecord(below) && isRecord(value) ? merge(below, value) : value;
  }
  return merged;
}

function roundRow(round: Round): object {
  return { ...snakeKeys(round), object: 'round' };
}

function requireRound<R extends Round>(round: R | undefined, c: AppContext): R {
  if (round === undefined) throw new ApiError(404, `There is no round ${c.req.param('id')}. GET /admin/rounds lists them.`, { code: 'unknown_round' });
  return round;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
