/** Many streams at once, each followed by another when it ends: what arrives when. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';
import { DELTAS, GAP_MS } from './exchange.ts';

export interface Streamed {
  /** Between two events of a stream. */
  readonly gapsMs: readonly number[];
  readonly firstTokenMs: readonly number[];
  readonly streams: number;
  /** Streams that failed, or had not all of their events. */
  readonly broken: number;
}

/** The role's, the end's and `[DONE]` beside the deltas. */
const EVENTS = DELTAS + 3;
const eventEnd = Buffer.from('\n\n');

/** @param spread the first streams begin spread over one stream's time; else all at once */
export async function stream(url: string, body: Buffer, { clients, rounds, spread }: { readonly clients: number; readonly rounds: number; readonly spread: boolean }): Promise<Streamed> {
  const pool = new Pool(url, { connections: clients, pipelining: 1 });
  const gapsMs: number[] = [], firstTokenMs: number[] = [];
  let broken = 0;
  const one = async (): Promise<void> => {
    const startedAt = performance.now();
    const arrivals = await events(pool, body).catch(() => []);
    if (arrivals.length !== EVENTS) broken++;
    firstTokenMs.push((arrivals[0] ?? NaN) - startedAt);
    // `[DONE]` comes with the last chunk: no gap before it.
    for (let i = 1; i < arrivals.length - 1; i++) gapsMs.push((arrivals[i] ?? NaN) - (arrivals[i - 1] ?? NaN));
  };
  try {
    await Promise.all(Array.from({ length: clients }, async (_, client) => {
      if (spread) await sleep((client / clients) * (DELTAS + 1) * GAP_MS);
      for (let round = 0; round < rounds; round++) await one();
    }));
    return { gapsMs, firstTokenMs, streams: clients * rounds, broken };
  } finally {
    await pool.close();
  }
}

/** When each event of one stream arrived whole. */
async function events(pool: Pool, body: Buffer): Promise<number[]> {
  const reply = await pool.request({ method: 'POST', path: '/v1/chat/completions', headers: { 'content-type': 'application/json', authorization: 'Bearer none' }, body });
  const arrivals: number[] = [];
  let rest: Buffer = Buffer.alloc(0);
  for await (const bytes of reply.body as AsyncIterable<Buffer>) { // a body without an encoding set
    const now = performance.now();
    let received = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    for (let end; (end = received.indexOf(eventEnd)) >= 0; received = received.subarray(end + eventEnd.length)) arrivals.push(now);
    rest = received;
  }
  return arrivals;
}
