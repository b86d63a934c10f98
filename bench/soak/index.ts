/**
 * The engine under random load for as long as `--minutes` says: joins, aborts, long prompts, next turns, swaps, versions loaded and unloaded. Memory must stay flat, no
 * request may fail or get stuck, no row may be lost, and what was recorded must be what the trainer computes.
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
import { rested, rowsAtWork } from './slots.ts';

const cache = join(import.meta.dirname, '..', '..', '.cache');
const MB = 2 ** 20;
const LOOK_MS = 5000;
const PRINT_EVERY = 12;

/** How much more resident memory the last quarter of a run may take than its second. */
const MAX_GROWTH = 0.02;
/** Nats. */
const MAX_DIFFERENCE = 1e-4;

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
    const [minutes, rows, leastTokens] = [Number(values.minutes), Number(values.rows), Number(values.tokens)];
    const engine = await startEngine({
      model: values.model, cacheDir, maxContext: Number(values.context), maxRows: rows, maxQueue: 64, maxQueueMs: 600_000, maxStallMs: 50,
      prefixCacheBytes: Number(values.prefixCacheMb) * MB, threads: 0, swap: values.swap === 'cross' ? 'cross' : 'finish', adapterTargets: ['q_proj', 'v_proj'],
    });
    try {
      const memory: number[] = [];
      const startedMs = performance.now();
      const look = async (): Promise<void> => {
        memory.push(process.memoryUsage().rss / MB);
        if (memory.length % PRINT_EVERY === 1) print(`${((performance.now() - startedMs) / 60_000).toFixed(0).padStart(3)} min  ${describe(await engine.stats(), memory.at(-1) ?? NaN)}`);
      };
      const watch = setInterval(() => { void look(); }, LOOK_MS);
      const outcome = await runLoad({ engine, vocabSize: config.vocabSize, clients: Number(values.clients), adapters, swapMs: Number(values.swapMs), leastTokens, random: seededRandom(1) }, AbortSignal.timeout(minutes * 60_000));
      clearInterval(watch);
      const left = await rested(engine);
      const atWork = await rowsAtWork(engine, rows);
      // What the process takes at first (sessions, caches filling up) is no growth.
      const [early = NaN, late = NaN] = [memory.slice(memory.length / 4, memory.length / 2), memory.slice(-memory.length / 4)].map((part) => median(part));
      const growth = late / early - 1;
      print('computing log-probs again');
      const exact = await exactness(values.model, outcome, adapters, cacheDir, leastTokens);
      const { requests, aborted, stuck, swaps, failures } = outcome;
      for (const failure of failures.slice(0, 10)) print(failure);
      print(`${requests} requests, ${aborted} of them aborted, ${swaps} swaps, ${failures.length} failures, ${stuck} stuck; ${left.completionTokens} tokens; ${atWork} of ${rows} rows work`);
      print(`memory ${early.toFixed(0)} → ${late.toFixed(0)} MB (${(100 * growth).toFixed(1)} %)`);
      print(`log-probs of ${exact.tokens} tokens (${exact.aborted} of aborted requests, ${exact.sawSwap} across a swap) computed again: largest difference ${exact.maxAbsolute.toExponential(2)}, mean ${exact.meanAbsolute.toExponential(2)}`);
      return {
        minutes, requests, aborted, swaps, completionTokens: left.completionTokens, failures: failures.length, stuck,
        rows: { configured: rows, atWork, left: left.running, waiting: left.waiting, leftBytes: left.kvBytes },
        memoryMb: { early: Math.round(early), late: Math.round(late), growth: Number(growth.toFixed(4)) }, logprobs: exact,
        holds: {
          noFailure: failures.length === 0, noneStuck: stuck === 0, noSlotLost: atWork === rows && left.running === 0 && left.waiting === 0 && left.kvBytes === 0,
          memoryFlat: growth <= MAX_GROWTH, exact: exact.tokens >= leastTokens && exact.maxAbsolute <= MAX_DIFFERENCE,
        },
      };
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
