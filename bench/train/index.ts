/**
 * Forward and backward on SmolLM2-135M with a LoRA adapter on every linear layer, against PyTorch on the CPU (transformers + peft): same weights, same batch,
 * same number of threads, each contender in its own process, taking turns. Needs a Python with torch, transformers and peft: `--python` or FULGURITE_PYTHON.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createAdapter, writeAdapter } from '../../model/adapter.ts';
import { architectureOf } from '../../model/architectures/index.ts';
import { openWeights } from '../../model/open.ts';
import { seededRandom } from '../../trainer/random.ts';
import { median, runForJson, type Benchmark } from '../benchmark.ts';
import { exportHuggingFace } from '../hugging-face.ts';
import type { Contender, Job } from './contender.ts';
import { CLIP, parseShape, workload } from './workload.ts';

const cache = join(import.meta.dirname, '..', '..', '.cache');
const smollm2 = join(cache, 'smollm2', 'SmolLM2-135M-Instruct.Q4_1.gguf');

const contenders = {
  ours: { program: 'ours', mode: 'fp32', recompute: false },
  torch: { program: 'torch', mode: 'fp32', recompute: false },
  oursRecomputing: { program: 'ours', mode: 'fp32', recompute: true },
  torchRecomputing: { program: 'torch', mode: 'fp32', recompute: true },
  torchBf16: { program: 'torch', mode: 'bf16', recompute: false },
} as const;
type Name = keyof typeof contenders;
const names = Object.keys(contenders) as Name[]; // its own keys

export const run: Benchmark = async (args, print) => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      python: { type: 'string', default: process.env['FULGURITE_PYTHON'] ?? 'python3' },
      model: { type: 'string', default: process.env['FULGURITE_SMOLLM2'] ?? smollm2 },
      shapes: { type: 'string', default: '4x256,8x512' },
      contenders: { type: 'string', default: names.join() },
      rank: { type: 'string', default: '16' },
      threads: { type: 'string', default: '2' },
      repetitions: { type: 'string', default: '3' },
      passes: { type: 'string', default: '2' },
    },
  });
  if (!existsSync(values.model)) throw new Error(`${values.model} is not there: run \`npm run smollm2\``);
  const entrants = names.filter((name) => values.contenders.split(',').includes(name));
  mkdirSync(join(cache, 'bench'), { recursive: true });
  const work = mkdtempSync(join(cache, 'bench', 'train-'));
  try {
    const prepared = await prepare(values.model, Number(values.rank), work);
    const figures: Record<string, unknown> = {};
    for (const shape of values.shapes.split(',')) {
      const { batch, time } = parseShape(shape);
      const workloadPath = join(work, `${shape}.json`);
      writeFileSync(workloadPath, JSON.stringify(workload({ batch, time }, prepared.vocabSize), (_, value: unknown) => (ArrayBuffer.isView(value) ? Array.from(value as unknown as ArrayLike<number>) : value))); // all views in a batch are typed arrays
      const runs = new Map<Name, Contender[]>(entrants.map((name) => [name, []]));
      for (let repetition = 0; repetition < Number(values.repetitions); repetition++) {
        for (const name of entrants) {
          const { program, mode, recompute } = contenders[name];
          const job: Job = { model: program === 'ours' ? values.model : prepared.huggingFace, adapter: prepared.adapter, batch, time, mode, recompute, threads: Number(values.threads), passes: Number(values.passes), cacheDir: join(cache, 'bench') };
          const result = program === 'ours'
            ? await runForJson(process.execPath, [join(import.meta.dirname, 'ours.ts'), JSON.stringify(job)])
            : await runForJson(values.python, [join(import.meta.dirname, 'torch.py'), JSON.stringify({ ...job, workload: workloadPath, clip: CLIP })]);
          runs.get(name)?.push(result as Contender); // what both programs print
        }
      }
      figures[shape] = report(shape, runs, print);
    }
    return { model: 'SmolLM2-135M', rank: Number(values.rank), threads: Number(values.threads), shapes: figures };
  } finally {
    rmSync(work, { recursive: true });
  }
};

/** The model as PyTorch reads it, and an adapter whose B is not zero, so that every gradient flows. */
async function prepare(path: string, rank: number, work: string): Promise<{ readonly huggingFace: string; readonly adapter: string; readonly vocabSize: number }> {
  const model = await openWeights(path);
  try {
    const random = seededRandom(1);
    const created = createAdapter(model.config, { rank, alpha: 2 * rank, rsLora: false, targets: [...architectureOf(model.config).adapterTargets] }, random);
    for (const { b } of created.modules.values()) b.data.forEach((_, i) => { b.data[i] = 0.04 * (random() - 0.5); });
    const adapter = join(work, 'adapter');
    const huggingFace = exportHuggingFace(model, join(cache, 'bench'));
    writeAdapter(adapter, created, huggingFace);
    return { huggingFace, adapter, vocabSize: model.config.vocabSize };
  } finally {
    model.weights.close();
  }
}

function report(shape: string, runs: ReadonlyMap<Name, readonly Contender[]>, print: (line: string) => void): Record<string, unknown> {
  const medians = Object.fromEntries([...runs].map(([name, results]) => [name, {
    seconds: median(results.flatMap(({ seconds }) => seconds)), peakMb: median(results.map(({ peakMb }) => peakMb)), estimatedMb: results[0]?.estimatedMb, loss: results[0]?.loss ?? NaN, gradNorm: results[0]?.gradNorm ?? NaN,
  }])) as Partial<Record<Name, { seconds: number; peakMb: number; estimatedMb: number | undefined; loss: number; gradNorm: number }>>; // those that ran
  print(`${shape}:`);
  for (const [name, { seconds, peakMb, estimatedMb, loss, gradNorm }] of Object.entries(medians)) print(`  ${name.padEnd(18)} ${seconds.toFixed(3)} s  ${peakMb.toFixed(0).padStart(6)} MB  loss ${loss.toFixed(6)}  |gradient| ${gradNorm.toPrecision(6)}${estimatedMb === undefined ? '' : `  (estimated ${estimatedMb.toFixed(0)} MB)`}`);
  const ratio = (key: 'seconds' | 'peakMb', a: Name, b: Name): number | undefined => (medians[a] && medians[b] ? Number((medians[a][key] / medians[b][key]).toFixed(3)) : undefined);
  const ratios = {
    timeToTorch: ratio('seconds', 'ours', 'torch'),
    memoryToTorch: ratio('peakMb', 'ours', 'torch'),
    recomputingTimeToTorch: ratio('seconds', 'oursRecomputing', 'torch'),
    recomputingMemoryToTorch: ratio('peakMb', 'oursRecomputing', 'torch'),
    recomputingTimeToTorchRecomputing: ratio('seconds', 'oursRecomputing', 'torchRecomputing'),
    recomputingMemoryToTorchRecomputing: ratio('peakMb', 'oursRecomputing', 'torchRecomputing'),
    timeToTorchBf16: ratio('seconds', 'ours', 'torchBf16'),
    memoryToTorchBf16: ratio('peakMb', 'ours', 'torchBf16'),
  };
  for (const [name, value] of Object.entries(ratios)) if (value !== undefined) print(`  ${name.padEnd(38)} ${value}`);
  return { ...medians, ratios };
}
