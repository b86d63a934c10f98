/** The trainer process, wired: waits for requested rounds and runs them, one after the other. Meets the proxy only in the database and in `policies/`. */
import { constants, setPriority } from 'node:os';
import { join } from 'node:path';
import type { Config, TrainerConfig } from '../config/schema.ts';
import type { Model } from '../model/model.ts';
import { openModel } from '../model/open.ts';
import { watchChanges } from '../store/changes.ts';
import { type Database, openDatabase } from '../store/open.ts';
import { currentVersion, ensureBasePolicy, findPolicy, listPolicies } from '../store/policies.ts';
import { claimRound, failRunningRounds, finishRound, recordRoundSetup, type Round, setRoundProgress } from '../store/rounds.ts';
import { TrainerError } from './error.ts';
import { grpoLoss } from './loss/grpo.ts';
import { openTrainingPolicy, type PolicyVersion, type TrainingPolicy } from './policy.ts';
import { sweepPolicies } from './publish.ts';
import { effectiveConfig } from './round-config.ts';
import { trackProgress } from './round-progress.ts';
import { runRound } from './round.ts';

/**
 * Runs until the signal aborts; a round that is running then fails, with that reason.
 * @throws StoreError, ModelError, TrainerError (`unsuitable_model`) if it cannot start
 */
export async function runTrainer(config: Config, signal: AbortSignal): Promise<void> {
  if (config.backend.kind !== 'embedded') throw new TrainerError('unsuitable_model', 'The trainer needs the model\'s weights: only an embedded backend has them (backend.kind).');
  setPriority(constants.priority.PRIORITY_BELOW_NORMAL);
  using db = openDatabase(config.dataDir, config.store);
  failRunningRounds(db, 'The trainer stopped while this round ran; request it again.');
  sweepPolicies(db.dataDir, new Set(listPolicies(db).map((policy) => policy.version)));
  const model = await openModel(config.backend.model);
  ensureBasePolicy(db, model.fingerprint);
  const policies = keepWarm(model, join(db.dataDir, 'cache'));
  try {
    for await (const _ of watchChanges(db, config.trainer.pollMs, signal)) {
      for (let round = claimRound(db); round !== undefined; round = claimRound(db)) await perform(db, model, policies.open, config.trainer, round, signal);
    }
  } finally {
    await policies.close();
    model.weights.close();
  }
}

/** Whatever goes wrong in a round ends that round, not the trainer. */
async function perform(db: Database, model: Model, openPolicy: (config: TrainerConfig) => Promise<TrainingPolicy>, trainer: TrainerConfig, round: Round, signal: AbortSignal): Promise<void> {
  try {
    const config = effectiveConfig(trainer, round.config);
    const seed = round.seed ?? config.seed + round.id;
    const base = currentPolicy(db);
    recordRoundSetup(db, round.id, { config, seed, baseVersion: base.version });
    const policy = await openPolicy(config);
    policy.load(base, seed);
    const progress = trackProgress((at) => { setRoundProgress(db, round.id, at); }, signal);
    await runRound({ db, config, seed, policy, baseVersion: base.version, model: model.fingerprint, progress }, round);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    finishRound(db, round.id, { state: 'failed', error: message });
    // An error with a code is a sentence for the user; anything else is a bug, and its stack says where.
    if (!(error instanceof Error && 'code' in error)) console.error(error);
  }
}

function currentPolicy(db: Database): PolicyVersion {
  const version = currentVersion(db);
  const row = findPolicy(db, version);
  return row?.directory ? { version, kind: row.kind, directory: join(db.dataDir, row.directory) } : { version, kind: 'base', directory: null };
}

/** One policy in memory from round to round, made anew when a round's configuration asks for other graphs or another optimizer. */
function keepWarm(model: Model, cacheDir: string): { readonly open: (config: TrainerConfig) => Promise<TrainingPolicy>; readonly close: () => Promise<void> } {
  let warm: { key: string; policy: TrainingPolicy } | undefined;
  const close = async (): Promise<void> => {
    await warm?.policy.close();
    warm = undefined;
  };
  return {
    async open(config) {
      const { method, lora, optimizer, threads, algorithm: { clipLow, clipHigh, klCoefficient, entropyCoefficient } } = config;
      const key = JSON.stringify([method, lora, optimizer, threads, clipLow, clipHigh, klCoefficient, entropyCoefficient]);
      if (warm?.key !== key) {
        await close();
        warm = { key, policy: await openTrainingPolicy({ model, config, loss: grpoLoss(config.algorithm), cacheDir }) };
      }
      return warm.policy;
    },
    close,
  };
}
