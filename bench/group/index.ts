/**
 * A group: 16 samples of one prompt of 500 tokens, as 16 requests at once (agents of their own) and as one with `n` of 16, with and without reuse of what is known.
 * Prints how often the prompt was read, and output tokens a second from the first request to the last token.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startEngine } from '../../engine/client.ts';
import type { Engine, GenerateRequest } from '../../engine/engine.ts';
import { NO_PENALTIES } from '../../engine/penalties.ts';
import { openText } from '../../model/open.ts';
import { seededRandom } from '../../trainer/random.ts';
import { median, type Benchmark } from '../benchmark.ts';

const cache = join(import.meta.dirname, '..', '..', '.cache');
const MB = 2 ** 20;

export const run: Benchmark = async (args, print) => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      model: { type: 'string', default: process.env['FULGURITE_SMOLLM2'] ?? join(cache, 'smollm2', 'SmolLM2-135M-Instruct.Q4_1.gguf') },
      members: { type: 'string', default: '16' },
      prompt: { type: 'string', default: '500' },
      tokens: { type: 'string', default: '64' },
      threads: { type: 'string', default: '2' },
      repetitions: { type: 'string', default: '3' },
    },
  });
  if (!existsSync(values.model)) throw new Error(`${values.model} is not there: run \`npm run smollm2\``);
  mkdirSync(join(cache, 'bench'), { recursive: true });
  const { config: { vocabSize } } = openText(values.model);
  const [members, promptTokens, maxTokens] = [Number(values.members), Number(values.prompt), Number(values.tokens)];
  const figures = new Map<string, { readonly read: number; readonly tokensPerSecond: number }[]>();
  for (let repetition = 0; repetition < Number(values.repetitions); repetition++) {
    for (const prefixCacheBytes of [256 * MB, 0]) {
      const engine = await startEngine({
        model: values.model, cacheDir: join(cache, 'bench'), maxContext: promptTokens + maxTokens + 1, maxRows: members, maxQueue: members, maxQueueMs: 600_000, maxStallMs: 50,
        prefixCacheBytes, threads: Number(values.threads), swap: 'finish',
      });
      try {
        await measure(engine, [{ promptTokenIds: Int32Array.of(1, 2, 3), n: members, maxTokens: 4, stopTokenIds: [], topLogprobs: 0, version: null, sampling: sampling(0) }]); // not counted
        for (const n of [1, members]) {
          const random = seededRandom(repetition * 100 + n);
          const promptTokenIds = Int32Array.from({ length: promptTokens }, () => Math.floor(random() * vocabSize));
          const name = `${n === 1 ? `${members} requests` : `one request of ${n}`}, ${prefixCacheBytes > 0 ? 'with' : 'without'} reuse`;
          const measured = await measure(engine, Array.from({ length: members / n }, (_, seed) => ({
            promptTokenIds, n, maxTokens, stopTokenIds: [], topLogprobs: 0, version: null, sampling: sampling(seed),
          })));
          figures.set(name, [...figures.get(name) ?? [], measured]);
        }
      } finally {
        await engine.close();
      }
    }
  }
  const summary = Object.fromEntries([...figures].map(([name, all]) => [name, { promptTokensRead: all[0]?.read ?? NaN, tokensPerSecond: Number(median(all.map(({ tokensPerSecond }) => tokensPerSecond)).toFixed(1)) }]));
  for (const [name, { promptTokensRead, tokensPerSecond }] of Object.entries(summary)) print(`${name.padEnd(34)} ${String(promptTokensRead).padStart(6)} prompt tokens read  ${tokensPerSecond.toFixed(1).padStart(7)} tokens/s`);
  const speed = (name: string): number => summary[name]?.tokensPerSecond ?? NaN;
  const ratio = Number((speed(`${members} requests, with reuse`) / speed(`${members} requests, without reuse`)).toFixed(2));
  print(`reuse makes a group of ${members} requests ${ratio} times as fast`);
  return { members, promptTokens, maxTokens, ...summary, ratio };
};

const sampling = (seed: number) => ({ temperature: 1, topP: 1, topK: 0, minP: 0, seed, ...NO_PENALTIES });

async function measure(engine: Engine, requests: readonly GenerateRequest[]): Promise<{ readonly read: number; readonly tokensPerSecond: number }> {
  const before = await engine.stats();
  const startedMs = performance.now();
  await Promise.all(requests.map(async (request) => { for await (const _ of engine.generate(request, AbortSignal.timeout(300_000))); }));
  const seconds = (performance.now() - startedMs) / 1000;
  const after = await engine.stats();
  return { read: after.promptTokens - before.promptTokens, tokensPerSecond: (after.completionTokens - before.completionTokens) / seconds };
}
