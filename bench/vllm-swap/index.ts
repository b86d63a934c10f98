/**
 * A LoRA round trained on SmolLM2 while clients stream from a real vLLM: what the swap fails, holds and delays, and whether every token's version is right. Needs
 * the Python of bench/requirements.txt: `--python` or FULGURITE_PYTHON. vLLM and the trainer share the machine, so waits are compared with those
 * just before the swap, when the trainer was at work, and with those before it began.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { AdminClient, type RoundRow } from '../../cli/client/admin.ts';
import { openDatabase } from '../../store/open.ts';
import type { Benchmark } from '../benchmark.ts';
import { startOurs } from '../server.ts';
import { startVllmServer } from '../vllm-server.ts';
import { waitsIn, type Phase } from './phases.ts';
import { keepStreaming, type Stream } from './streams.ts';
import { checkVersions } from './versions.ts';

const cache = join(import.meta.dirname, '..', '..', '.cache');
/** What is called the time of the swap: from when the new version is published until so long after it is served. */
const afterSwapMs = 3000;
const recomputedSteps = 24;

export const run: Benchmark = async (args, print) => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      python: { type: 'string', default: process.env['FULGURITE_PYTHON'] ?? 'python3' },
      model: { type: 'string', default: process.env['FULGURITE_SMOLLM2'] ?? join(cache, 'smollm2', 'SmolLM2-135M-Instruct.Q4_1.gguf') },
      clients: { type: 'string', default: '8' },
      seconds: { type: 'string', default: '30' },
      tokens: { type: 'string', default: '40' },
      steps: { type: 'string', default: '64' },
      swaps: { type: 'string', default: '20' },
    },
  });
  if (!existsSync(values.model)) throw new Error(`${values.model} is not there: run \`npm run smollm2\``);
  mkdirSync(join(cache, 'bench'), { recursive: true });
  const work = mkdtempSync(join(cache, 'bench', 'vllm-swap-'));
  try {
    await using vllm = await startVllmServer({ python: values.python, gguf: values.model, cache: join(cache, 'bench') });
    print(`vLLM was ready after ${(vllm.readyMs / 1000).toFixed(0)} s`);
    const dataDir = resolve(work, 'data');
    const settings = {
      dataDir, 'backend.kind': 'vllm', 'backend.baseUrls': JSON.stringify([`${vllm.url}/v1`]), 'backend.model': vllm.model,
      'trainer.maxSteps': values.steps, 'trainer.threads': '1', 'trainer.tokensPerMicroBatch': '1024', 'trainer.optimizer.learningRate': '1e-3',
    };
    const timeline = await (async () => {
      await using ours = await startOurs(settings);
      return await swapUnderLoad(new AdminClient({ url: ours.url, apiKey: undefined }), {
        clients: Number(values.clients), maxTokens: Number(values.tokens), idleMs: Number(values.seconds) * 1000, swaps: Number(values.swaps),
      });
    })();
    using db = openDatabase(dataDir, { readonly: true });
    return report(timeline, await checkVersions(db, timeline.streams.map(({ step }) => step), [0, 1], vllm.model, recomputedSteps), print);
  } finally {
    rmSync(work, { recursive: true });
  }
};

interface Timeline {
  readonly streams: readonly Stream[];
  readonly phases: readonly Phase[];
  readonly round: RoundRow;
  /** Milliseconds from the publication to the first call that the new version is served to. */
  readonly swapMs: number;
}

interface Course {
  readonly clients: number;
  readonly maxTokens: number;
  readonly idleMs: number;
  /** Back to the base model and forth again, after the round. */
  readonly swaps: number;
}

async function swapUnderLoad(admin: AdminClient, { clients, maxTokens, idleMs, swaps }: Course): Promise<Timeline> {
  const end = new AbortController();
  const [streams, timeline] = await Promise.all([
    keepStreaming({ admin, clients, maxTokens, group: 8, until: end.signal }),
    trainAndSwap(admin, idleMs, swaps).finally(() => { end.abort(); }),
  ]);
  return { streams, ...timeline };
}

async function trainAndSwap(admin: AdminClient, idleMs: number, swaps: number): Promise<Omit<Timeline, 'streams'>> {
  const now = (): number => performance.now();
  // The first answers are slow: vLLM compiles.
  await sleep(idleMs);
  const idleFromMs = now();
  await sleep(idleMs);
  const trainingFromMs = now();
  const { id } = await admin.startRound({});
  let publishedMs: number | null = null;
  for (;;) {
    const { current_version: version, data } = await admin.policies();
    if (data.length > 1) publishedMs ??= now();
    if (version === 1) break;
    const { state, error } = await admin.round(id);
    if (['failed', 'rejected', 'empty'].includes(state)) throw new Error(`the round is ${state}: ${error}`);
    await sleep(20);
  }
  const servedMs = now();
  await sleep(idleMs);
  const swapsFromMs = now();
  // Each loads or unloads an adapter, while answers of the other version go on.
  for (let swap = 0; swap < swaps; swap++) {
    await admin.promote(swap % 2 === 0 ? 0 : 1);
    await sleep(idleMs / 15);
  }
  const swapsToMs = now();
  const swapFromMs = publishedMs ?? servedMs;
  return {
    round: await admin.round(id), swapMs: servedMs - swapFromMs,
    phases: [
      { name: 'before', fromMs: idleFromMs, toMs: trainingFromMs },
      { name: 'training', fromMs: trainingFromMs, toMs: swapFromMs },
      { name: 'swap', fromMs: swapFromMs, toMs: servedMs + afterSwapMs },
      { name: 'after', fromMs: servedMs + afterSwapMs, toMs: servedMs + idleMs },
      { name: `${swaps} more`, fromMs: swapsFromMs, toMs: swapsToMs },
    ],
  };
}

function report({ streams, phases, round, swapMs }: Timeline, versions: Awaited<ReturnType<typeof checkVersions>>, print: (line: string) => void): Record<string, unknown> {
  const failed = streams.filter(({ whole }) => !whole).length;
  print(`${streams.length} streams, ${failed} failed; round ${round.id} took ${(((round.ended_at ?? NaN) - (round.started_at ?? NaN)) / 1000).toFixed(1)} s; served ${swapMs.toFixed(0)} ms after it was published`);
  const waits = phases.map((phase) => ({ phase: phase.name, seconds: Number(((phase.toMs - phase.fromMs) / 1000).toFixed(1)), ...waitsIn(phase, streams) }));
  for (const { phase, seconds, tokens, firstToken, gap } of waits) {
    print(`${phase.padEnd(9)} ${String(seconds).padStart(6)} s  ${String(tokens).padStart(6)} tokens  first token p50 ${firstToken.p50} ms, max ${firstToken.max}  gap p50 ${gap.p50} ms, p99 ${gap.p99}, max ${gap.max}`);
  }
  print(`${versions.steps} steps: ${versions.notComplete} not complete, ${versions.quarantined} quarantined, ${versions.wrongSpans} of mixed versions`);
  print(`${versions.recomputed} steps recomputed: ${versions.mistaken} of another version than recorded; mean |Δ log-prob| ${versions.meanUnderOwn} under their own, ${versions.meanUnderOther} under the other`);
  return { streams: streams.length, failed, swapMs, waits, versions, selfTest: round.metrics?.['selfTestMean'] ?? null };
}
