/**
 * Swaps under load: 16 streams, each followed by another when it ends, without swaps and with `--swaps` of them spread over the run. Nothing may fail, every token must carry the
 * version of its request, and the gaps between tokens must stay within one decode step of those without swaps.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startEngine } from '../../engine/client.ts';
import type { Engine } from '../../engine/engine.ts';
import { NO_PENALTIES } from '../../engine/penalties.ts';
import { openWeights } from '../../model/open.ts';
import { median, type Benchmark } from '../benchmark.ts';
import { makeAdapters } from '../soak/adapters.ts';

const cache = join(import.meta.dirname, '..', '..', '.cache');
const PROMPT = 32;

export const run: Benchmark = async (args, print) => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      model: { type: 'string', default: process.env['FULGURITE_SMOLLM2'] ?? join(cache, 'smollm2', 'SmolLM2-135M-Instruct.Q4_1.gguf') },
      streams: { type: 'string', default: '16' },
      swaps: { type: 'string', default: '200' },
      seconds: { type: 'string', default: '60' },
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
    const [streams, swaps, seconds, maxTokens] = [Number(values.streams), Number(values.swaps), Number(values.seconds), Number(values.tokens)];
    const engine = await startEngine({
      model: values.model, cacheDir: join(cache, 'bench'), maxContext: 256, maxRows: streams, maxQueue: 2 * streams, maxQueueMs: 600_000, maxStallMs: 50,
      prefixCacheBytes: 2 ** 26, threads: Number(values.threads), swap: 'finish', adapterTargets: ['q_proj', 'v_proj'],
    });
    try {
      for (const [index, directory] of adapters.entries()) await engine.loadPolicy({ version: index + 1, kind: 'adapter', directory });
      const load = { engine, streams, maxTokens, vocabSize: config.vocabSize };
      await streaming(load, 2); // not counted
      const without = await streaming(load, seconds);
      let done = 0;
      const swapping = (async () => {
        for (; done < swaps; done++) {
          await engine.setCurrent(done % (adapters.length + 1));
          await sleep((seconds * 1000) / swaps);
        }
      })();
      const [swapped] = await Promise.all([streaming(load, seconds), swapping]);
      const step = quantile(without.gapsMs, 0.5);
      const figures = {
        swaps: done, failures: without.failures + swapped.failures, wrongSpans: without.wrongSpans + swapped.wrongSpans, decodeStepMs: round(step),
        without: { p50: round(step), p99: round(quantile(without.gapsMs, 0.99)), tokensPerSecond: round(without.gapsMs.length / seconds) },
        swapped: { p50: round(quantile(swapped.gapsMs, 0.5)), p99: round(quantile(swapped.gapsMs, 0.99)), tokensPerSecond: round(swapped.gapsMs.length / seconds) },
        laterBySteps: round((quantile(swapped.gapsMs, 0.99) - quantile(without.gapsMs, 0.99)) / step),
      };
      print(`${figures.swaps} swaps, ${figures.failures} failures, ${figures.wrongSpans} answers of mixed versions`);
      print(`gap between tokens without swaps: p50 ${figures.without.p50} ms, p99 ${figures.without.p99} ms; with swaps: p50 ${figures.swapped.p50} ms, p99 ${figures.swapped.p99} ms (${figures.laterBySteps} decode steps more)`);
      return figures;
    } finally {
      await engine.close();
    }
  } finally {
    rmSync(work, { recursive: true });
  }
};

interface Streams {
  readonly engine: Engine;
  readonly streams: number;
  readonly maxTokens: number;
  readonly vocabSize: number;
}

async function streaming({ engine, streams, maxTokens, vocabSize }: Streams, seconds: number): Promise<{ readonly gapsMs: number[]; readonly failures: number; readonly wrongSpans: number }> {
  const untilMs = performance.now() + seconds * 1000;
  const gapsMs: number[] = [];
  let failures = 0, wrongSpans = 0, count = 0;
  const stream = async (): Promise<void> => {
    while (performance.now() < untilMs) {
      const seed = count++;
      const promptTokenIds = Int32Array.from({ length: PROMPT }, (_, i) => (seed * 7919 + i * 104_729) % vocabSize);
      // Streams do not all end at once.
      const request = { promptTokenIds, n: 1, maxTokens: Math.ceil(maxTokens * (0.5 + (seed % 8) / 8)), stopTokenIds: [], topLogprobs: 0, version: null, sampling: { temperature: 1, topP: 1, topK: 0, minP: 0, seed, ...NO_PENALTIES } };
      const versions = new Set<number>();
      let lastMs = NaN;
      try {
        for await (const event of engine.generate(request, AbortSignal.timeout(120_000))) {
          if (event.type !== 'token') continue;
          const nowMs = performance.now();
          if (lastMs > 0) gapsMs.push(nowMs - lastMs);
          lastMs = nowMs;
          versions.add(event.token.version);
        }
        if (versions.size !== 1) wrongSpans++;
      } catch {
        failures++; // counted, and said in the report
      }
    }
  };
  await Promise.all(Array.from({ length: streams }, stream));
  return { gapsMs, failures, wrongSpans };
}

const round = (number: number): number => Number(number.toFixed(1));

function quantile(numbers: readonly number[], q: number): number {
  if (q === 0.5) return median(numbers);
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.min(Math.floor(q * sorted.length), sorted.length - 1)] ?? NaN;
}
