/**
 * Reward over rounds against TRL's GRPOTrainer on the CPU: SmolLM2-135M, reasoning-gym tasks, the same tasks in the same order, the same number of samples, LoRA
 * settings and hyperparameters. Ours goes the whole way: HTTP agents, proxy, engine, store, trainer, swap. Needs a Python with torch, transformers, peft, trl and
 * reasoning-gym: `--python` or FULGURITE_PYTHON.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { runForJson, type Benchmark } from '../benchmark.ts';
import { exportPath } from '../hugging-face.ts';
import { trainOurs } from './ours.ts';
import type { Curve, Plan } from './plan.ts';
import { draw, finalDifference, rewardsOf, standing } from './report.ts';
import { openTasks } from './tasks.ts';

const cache = join(import.meta.dirname, '..', '..', '.cache');

/** SmolLM2 gets about a third of these right before training: under a tenth of the letters, over half of the years. */
const kinds: Plan['kinds'] = [
  { name: 'letter_counting', config: { min_words: 2, max_words: 3 } },
  { name: 'calendar_arithmetic', config: { tasks: ['is_leap_year'], leap_year_range: 20 } },
];

export const run: Benchmark = async (args, print) => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      python: { type: 'string', default: process.env['FULGURITE_PYTHON'] ?? 'python3' },
      model: { type: 'string', default: process.env['FULGURITE_SMOLLM2'] ?? join(cache, 'smollm2', 'SmolLM2-135M-Instruct.Q4_1.gguf') },
      seeds: { type: 'string', default: '10,11,12,13,14' },
      rounds: { type: 'string', default: '12' },
      tasks: { type: 'string', default: '8' },
      group: { type: 'string', default: '8' },
      learningRate: { type: 'string', default: '2e-4' },
      microBatch: { type: 'string', default: '32' },
      verbose: { type: 'boolean', default: false },
    },
  });
  if (!existsSync(values.model)) throw new Error(`${values.model} is not there: run \`npm run smollm2\``);
  mkdirSync(join(cache, 'bench'), { recursive: true });
  const huggingFace = await exportPath(values.model, join(cache, 'bench'));
  const seeds = values.seeds.split(',').map(Number);
  const runs: { ours: Curve; trl: Curve }[] = [];
  for (const seed of seeds) {
    const work = mkdtempSync(join(cache, 'bench', 'learning-'));
    const plan: Plan = {
      kinds, seed, gguf: resolve(values.model), huggingFace, work, rounds: Number(values.rounds), tasksPerRound: Number(values.tasks), group: Number(values.group),
      maxTokens: 16, temperature: 1, rank: 16, alpha: 32, targets: ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
      learningRate: Number(values.learningRate), threads: 2, microBatch: Number(values.microBatch),
    };
    try {
      await using tasks = await openTasks(values.python, plan);
      const ours = await trainOurs(plan, tasks, (line) => { if (values.verbose) print(line); });
      print(`seed ${seed}: ours ${ours.seconds.toFixed(1)} s  ${rewardsOf(ours.rounds)}`);
      const trl = await runForJson(values.python, [join(import.meta.dirname, 'trl_grpo.py'), JSON.stringify(plan)]) as Curve; // what it prints
      print(`seed ${seed}: TRL  ${trl.seconds.toFixed(1)} s  ${rewardsOf(trl.rounds)}`);
      runs.push({ ours, trl });
    } finally {
      rmSync(work, { recursive: true });
    }
  }
  return verdict(runs.map(({ ours }) => ours), runs.map(({ trl }) => trl), Number(values.group), print);
};

function verdict(ours: readonly Curve[], trl: readonly Curve[], group: number, print: (line: string) => void): Record<string, unknown> {
  const figures = { ours: standing(ours, group), trl: standing(trl, group) };
  const difference = finalDifference(ours, trl);
  const ratios = { finalRewardToTrl: figures.ours.final / figures.trl.final, secondsToTrl: figures.ours.seconds / figures.trl.seconds };
  print(`\n${draw('ours', figures.ours)}\n\n${draw('TRL', figures.trl)}\n`);
  print(`last third, ours − TRL: ${difference.mean.toFixed(3)} ± ${difference.standardError?.toFixed(3) ?? 'unknown'} (by seed: ${difference.bySeed.map((one) => one.toFixed(3)).join(', ')}); wall-clock, ours / TRL: ${ratios.secondsToTrl.toFixed(3)}`);
  return { model: 'SmolLM2-135M', kinds, seeds: ours.length, ...figures, difference, ratios };
}
