/** Whether every row still works: a slot that was lost is one that no request gets any more. */
import { setTimeout } from 'node:timers/promises';
import type { Engine, EngineStats, GenerateRequest } from '../../engine/engine.ts';
import { NO_PENALTIES } from '../../engine/penalties.ts';

/** Each goes on until all are at work, or this ends. */
const MAX_TOKENS = 120;

/** @returns how many of as many requests as there are rows were at work at once */
export async function rowsAtWork(engine: Engine, rows: number): Promise<number> {
  const request: GenerateRequest = {
    promptTokenIds: Int32Array.of(1, 2, 3), n: 1, maxTokens: MAX_TOKENS, stopTokenIds: [], topLogprobs: 0, version: null,
    sampling: { temperature: 1, topP: 1, topK: 0, minP: 0, seed: null, ...NO_PENALTIES },
  };
  const enough = new AbortController();
  let most = 0;
  const stream = async (): Promise<void> => {
    try {
      for await (const event of engine.generate(request, enough.signal)) {
        if (event.type !== 'token') continue;
        most = Math.max(most, (await engine.stats()).running);
        if (most >= rows) enough.abort();
      }
    } catch (error) {
      if (!enough.signal.aborted) throw error;
    }
  };
  await Promise.all(Array.from({ length: rows }, stream));
  return most;
}

/** What is left once all requests have ended: an idle engine gives the memory of its rows back after a while. @returns its state then, or after five seconds */
export async function rested(engine: Engine): Promise<EngineStats> {
  let stats = await engine.stats();
  for (const end = performance.now() + 5000; (stats.running > 0 || stats.kvBytes > 0) && performance.now() < end; stats = await engine.stats()) await setTimeout(20);
  return stats;
}
