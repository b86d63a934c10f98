/**
 * Where the seconds of a training round go, by phase and by kind of operation: GRPO on SmolLM2-135M with LoRA on every linear layer, 64 calls of about 200 tokens in
 * 8 groups, selected from a real database, trained and published. Two rounds: the first one prepares its graphs.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { trainerSchema } from '../../config/schema.ts';
import { openWeights } from '../../model/open.ts';
import { openDatabase } from '../../store/open.ts';
import { ensureBasePolicy } from '../../store/policies.ts';
import { claimRound, requestRound } from '../../store/rounds.ts';
import { openTrainingPolicy, policyVersion } from '../../trainer/policy.ts';
import { trackProgress } from '../../trainer/round-progress.ts';
import { runRound } from '../../trainer/round.ts';
import type { Benchmark } from '../benchmark.ts';
import { operationShares } from './operations.ts';
import { recordSteps } from './steps.ts';

const cache = join(import.meta.dirname, '..', '..', '.cache');

export const run: Benchmark = async (args, print) => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      model: { type: 'string', default: process.env['FULGURITE_SMOLLM2'] ?? join(cache, 'smollm2', 'SmolLM2-135M-Instruct.Q4_1.gguf') },
      groups: { type: 'string', default: '8' },
      group: { type: 'string', default: '8' },
      tokens: { type: 'string', default: '200' },
      threads: { type: 'string', default: '2' },
      tokensPerMicroBatch: { type: 'string', default: '2048' },
    },
  });
  if (!existsSync(values.model)) throw new Error(`${values.model} is not there: run \`npm run smollm2\``);
  mkdirSync(join(cache, 'bench'), { recursive: true });
  const work = mkdtempSync(join(cache, 'bench', 'round-'));
  const db = openDatabase(join(work, 'data'));
  const opened = await openWeights(values.model);
  const model = { ...opened, path: values.model };
  const config = trainerSchema.parse({ threads: Number(values.threads), tokensPerMicroBatch: Number(values.tokensPerMicroBatch) });
  const size = { groups: Number(values.groups), group: Number(values.group), tokens: Number(values.tokens), vocabSize: model.config.vocabSize, tokensPerMicroBatch: config.tokensPerMicroBatch };
  const policy = await openTrainingPolicy({ model, config, cacheDir: join(cache, 'bench') });
  try {
    ensureBasePolicy(db, model.fingerprint);
    const rounds: Record<string, unknown>[] = [];
    policy.load(policyVersion(db, 0), 1);
    for (const version of [0, 1]) {
      // As if sampled by the version: its own log-probs, so that the self-test passes and ratios are 1.
      await recordSteps(db, policy.learner, { ...size, version });
      const requested = requestRound(db, { promote: true, seed: 1 });
      const round = claimRound(db);
      if (round?.id !== requested.id) throw new Error('another round was waiting');
      const { metrics } = await runRound({ db, model: model.fingerprint, sampler: 'bench', trainer: config, openPolicy: () => Promise.resolve(policy), progress: trackProgress(() => {}, new AbortController().signal) }, round);
      const seconds = Object.fromEntries(Object.entries(metrics ?? {}).filter(([name]) => name.startsWith('seconds')));
      rounds.push({ seconds, trainedTokens: metrics?.['trainedTokens'], peakMb: metrics?.['peakRssMb'] });
      print(`round ${version + 1}${version === 0 ? ' (with the preparation of its graphs)' : ''}: ${Object.entries(seconds).map(([phase, s]) => `${phase.replace('seconds', '').toLowerCase()} ${s.toFixed(2)} s`).join(', ')}; peak ${Number(metrics?.['peakRssMb']).toFixed(0)} MB`);
    }
    const { shares, products } = await operationShares(model, config, size, join(cache, 'bench'));
    print('forward and backward, by kind of operation:');
    for (const [kind, share] of shares.slice(0, 10)) print(`  ${kind.padEnd(32)} ${(100 * share).toFixed(1).padStart(5)} %`);
    const [largest] = shares.filter(([kind]) => !products.has(kind));
    return { rounds, operations: Object.fromEntries(shares), largestThatIsNoProduct: largest };
  } finally {
    await policy.close();
    model.weights.close();
    db.close();
    rmSync(work, { recursive: true });
  }
};
