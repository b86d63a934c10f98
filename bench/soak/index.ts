/**
 * The engine under random load for as long as `--minutes` says: joins, aborts, long prompts, next turns, swaps, versions loaded and unloaded. Memory must stay flat, no
 * request may fail or get stuck, and what was recorded must be what the trainer computes.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startEngine } from '../../engine/client.ts';
import type { EngineStats } from '../../engine/engine.ts';
import { openWeights } from '../../model/open.ts';
import { seededRandom } from '../../trainer/random.ts';
import { median, type Benchmark } from '../benchmark.ts';
import { makeAdapters } from './adapters.ts';
import { exactness } from './exactness.ts';
import { runLoad } from './load.ts';

const cache = join(import.meta.dirname, '..', '..', '.cache');
const MB = 2 ** 20;
/** Longer than any request takes. */
const STUCK_MS = 120_000;

export const run: Benchmark = async (args, print) => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      model: { type: 'string', default: process.env['FULGURITE_SMOLLM2'] ?? join(cache, 'smollm2', 'SmolLM2-135M-Instruct.Q4_1.gguf') },
      minutes: { type: 'string', default: '30' },
      clients: { type: 'string', default: '24' },
      rows: { type: 'string', default: '16' },
      context: { type: 'string', default: '512' },
      swap: { type: 'string', default: 'finish' },
      swapMs: { type: 'string', default: '500' },
      tokens: { type: 'string', default: '10000' },
      prefixCacheMb: { type: 'string', default: '256' },
    },
  });
  if (!existsSync(values.model)) throw new Error(`${values.model} is not there: run \`npm run smollm2\``);
  mkdirSync(join(cache, 'bench'), { recursive: true });
  const work = mkdtempSync(join(cache, 'bench', 'soak-'));
  try {
    const { config, weights } = await openWeights(values.model);
    weights.close();
    const adapters = makeAdapters(config, join(work, 'adapters'), 3);
    const cacheDir = join(cache, 'bench');
    const engine = await startEngine({
      model: values.model, cacheDir, maxContext: Number(values.context), maxRows: Number(values.rows), maxQueue: 64, maxQueueMs: 600_000, maxStallMs: 50,
      prefixCacheBytes: Number(values.prefixCacheMb) * MB, threads: 0, swap: values.swap === 'cross' ? 'cross' : 'finish', adapterTargets: ['q_proj', 'v_proj'],
    });
    try {
      const memory: number[] = [];
      const look = async (): Promise<void> => {
        const stats = await engine.stats();
        memory.push(process.memoryUsage().rss / MB);
        if (memory.length % 6 === 1) print(describe(stats, memory.at(-1) ?? NaN));
      };
      const watch = setInterval(() => { void look(); }, 10_000);
      const minutes = Number(values.minutes);
      const loading = runLoad({ engine, vocabSize: config.vocabSize, clients: Number(values.clients), adapters, swapMs: Number(values.swapMs), random: seededRandom(1) }, AbortSignal.timeout(minutes * 60_000));
      const stuck = new Promise<never>((_, reject) => { setTimeout(() => { reject(new Error('a request is stuck')); }, minutes * 60_000 + STUCK_MS).unref(); });
      const outcome = await Promise.race([loading, stuck]);
      clearInterval(watch);
      const { running, waiting, kvBytes } = await engine.stats();
      // What the process takes at first (sessions, caches filling up) is no growth.
      const [early, late] = [memory.slice(memory.length / 4, memory.length / 2), memory.slice(-memory.length / 4)].map((part) => median(part));
      const exact = await exactness(values.model, outcome, adapters, cacheDir, Number(values.tokens));
      const figures = {
        minutes, requests: outcome.requests, aborted: outcome.aborted, swaps: outcome.swaps, failures: outcome.failures.length, left: running + waiting + kvBytes,
        memoryMb: { early: Math.round(early ?? NaN), late: Math.round(late ?? NaN), growth: Number(((late ?? NaN) / (early ?? NaN) - 1).toFixed(3)) }, logprobs: exact,
      };
      for (const failure of outcome.failures.slice(0, 10)) print(failure);
      print(`${outcome.requests} requests, ${outcome.aborted} of them aborted, ${outcome.swaps} swaps, ${outcome.failures.length} failures; memory ${figures.memoryMb.early} → ${figures.memoryMb.late} MB`);
      print(`log-probs of ${exact.tokens} tokens recomputed: largest difference ${exact.maxAbsolute.toExponential(2)}, mean ${exact.meanAbsolute.toExponential(2)}`);
      return figures;
    } finally {
      await engine.close();
    }
  } finally {
    rmSync(work, { recursive: true });
  }
};

function describe({ running, waiting, loadedVersions, promptTokens, reusedTokens, completionTokens, kvBytes, prefixBytes }: EngineStats, rss: number): string {
  const share = (100 * reusedTokens) / (promptTokens + reusedTokens);
  return `${rss.toFixed(0)} MB (rows ${(kvBytes / MB).toFixed(0)}, prefixes ${(prefixBytes / MB).toFixed(0)})  ${running} running, ${waiting} waiting, versions ${loadedVersions.join(' ')}  ${completionTokens} tokens, ${share.toFixed(0)} % of prompts reused`;
}
