/**
 * Swaps under load: 16 streams, each followed by another when it ends, in turns without swaps and with `--swaps` of them spread over the run. Nothing may fail, every token must carry the
 * version that was current when its request began, and the gaps between tokens must stay within one decode step of those without swaps.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startEngine } from '../../engine/client.ts';
import { openWeights } from '../../model/open.ts';
import { median, type Benchmark } from '../benchmark.ts';
import { makeAdapters } from '../soak/adapters.ts';
import { streaming, type Streamed } from './streams.ts';

const cache = join(import.meta.dirname, '..', '..', '.cache');

export const run: Benchmark = async (args, print) => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      model: { type: 'string', default: process.env['FULGURITE_SMOLLM2'] ?? join(cache, 'smollm2', 'SmolLM2-135M-Instruct.Q4_1.gguf') },
      streams: { type: 'string', default: '16' },
      swaps: { type: 'string', default: '200' },
      seconds: { type: 'string', default: '60' },
      turns: { type: 'string', default: '4' },
      tokens: { type: 'string', default: '48' },
      threads: { type: 'string', default: '2' },
    },
  });
  if (!existsSync(values.model)) throw new Error(`${values.model} is not there: run \`npm run smollm2\``);
  mkdirSync(join(cache, 'bench'), { recursive: true });
  const work = mkdtempSync(join(cache, 'bench', 'swap-'));
  try {
    const { config, weights } = await openWeights(values.model);
    weights.close();
    const adapters = makeAdapters(config, work, 2);
    const [streams, swaps, seconds, turns, maxTokens] = [Number(values.streams), Number(values.swaps), Number(values.seconds), Number(values.turns), Number(values.tokens)];
    const engine = await startEngine({
      model: values.model, cacheDir: join(cache, 'bench'), maxContext: 256, maxRows: streams, maxQueue: 2 * streams, maxQueueMs: 600_000, maxStallMs: 50,
      prefixCacheBytes: 2 ** 26, threads: Number(values.threads), swap: 'finish', adapterTargets: ['q_proj', 'v_proj'],
    });
    try {
      for (const [index, directory] of adapters.entries()) await engine.loadPolicy({ version: index + 1, kind: 'adapter', directory });
      /** Every version that was current or about to be, in order. */
      const current = [0];
      const load = { engine, streams, maxTokens, vocabSize: config.vocabSize, current, requests: 0 };
      const without: Streamed[] = [], swapped: Streamed[] = [];
      await streaming(load, 2); // not counted
      let done = 0;
      const swapUntil = async (end: number): Promise<void> => {
        for (; done < end; done++) {
          const version = (done + 1) % (adapters.length + 1);
          current.push(version);
          await engine.setCurrent(version);
          await sleep((seconds * 1000) / swaps);
        }
      };
      for (let turn = 1; turn <= turns; turn++) {
        const one = await streaming(load, seconds / turns);
        const [other] = await Promise.all([streaming(load, seconds / turns), swapUntil(Math.round((swaps * turn) / turns))]);
        without.push(one);
        swapped.push(other);
        print(`${turn}/${turns}  gap between tokens at p99: ${quantile(one.gapsMs, 0.99).toFixed(1)} ms without swaps, ${quantile(other.gapsMs, 0.99).toFixed(1)} ms with`);
      }
      const count = (of: (streamed: Streamed) => number): number => [...without, ...swapped].reduce((sum, streamed) => sum + of(streamed), 0);
      const [still, moving] = [without, swapped].map((parts) => parts.flatMap(({ gapsMs }) => gapsMs)) as [number[], number[]]; // two in, two out
      const step = median(still);
      const describe = (gapsMs: readonly number[]) => ({ p50: round(median(gapsMs)), p99: round(quantile(gapsMs, 0.99)), tokensPerSecond: round(gapsMs.length / seconds) });
      // Of each turn, so that what the machine does meanwhile weighs on both.
      const laterBySteps = round(median(without.map((one, turn) => quantile(swapped[turn]?.gapsMs ?? [], 0.99) - quantile(one.gapsMs, 0.99))) / step);
      const [failures, wrongSpans] = [count((streamed) => streamed.failures), count((streamed) => streamed.wrongSpans)];
      const figures = { swaps: done, requests: count(({ requests }) => requests), failures, wrongSpans, decodeStepMs: round(step), without: describe(still), swapped: describe(moving), laterBySteps };
      print(`${done} swaps, ${figures.requests} requests, ${failures} failures, ${wrongSpans} with a token of a version that was not current when they began`);
      print(`gap between tokens without swaps: p50 ${figures.without.p50} ms, p99 ${figures.without.p99} ms; with swaps: p50 ${figures.swapped.p50} ms, p99 ${figures.swapped.p99} ms (${laterBySteps} decode steps more)`);
      return { ...figures, holds: { allSwaps: done === swaps, noFailure: failures === 0, spans: wrongSpans === 0, gaps: laterBySteps <= 1 } };
    } finally {
      await engine.close();
    }
  } finally {
    rmSync(work, { recursive: true });
  }
};

const round = (number: number): number => Number(number.toFixed(1));

function quantile(numbers: readonly number[], q: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.min(Math.floor(q * sorted.length), sorted.length - 1)] ?? NaN;
}
