/** The trainer process, wired: waits for requested rounds and runs them, one after the other. Meets the proxy only in the database and in `policies/`. */
import { constants, setPriority } from 'node:os';
import { join } from 'node:path';
import type { Config, TrainerConfig } from '../config/schema.ts';
import { trainedModel } from '../config/trained-model.ts';
import type { Model } from '../model/model.ts';
import { openModel } from '../model/open.ts';
import { setAcceleratorState } from '../store/accelerator.ts';
import { watchChanges } from '../store/changes.ts';
import { acquireLock } from '../store/lock.ts';
import { openDatabase } from '../store/open.ts';
import { ensureBasePolicy, listPolicies } from '../store/policies.ts';
import { leaveOutStep } from '../store/round-steps.ts';
import { claimRound, finishRound, putRoundBack, recoverRunningRounds, type Round, setRoundProgress } from '../store/rounds.ts';
import { borrowAccelerator } from './accelerator.ts';
import { algorithmOf } from './algorithms/index.ts';
import { TrainerError } from './error.ts';
import { openTrainingPolicy, type TrainingPolicy } from './policy.ts';
import { sweepPolicies } from './publish.ts';
import { trackProgress } from './round-progress.ts';
import { type RoundParts, runRound } from './round.ts';
import type { LeftOutReason } from './select.ts';

/** A round that has cost so many trainers their life is given up. */
const mostInterruptions = 10;
/** What a round is rejected for: it could be computed, but its numbers must not be learned from. */
const rejections: ReadonlySet<TrainerError['code']> = new Set(['logprob_mismatch', 'not_finite']);

/**
 * Runs until the signal aborts; a round that is running then waits for the next trainer.
 * @param onReady called when it is up and looks for rounds
 * @throws StoreError, ModelError, TrainerError (`unsuitable_model`) if it cannot start
 */
export async function runTrainer(config: Config, signal: AbortSignal, onReady: () => void): Promise<void> {
  const trained = trainedModel(config);
  if (trained === null) throw new TrainerError('unsuitable_model', 'The trainer needs the model\'s weights: backend.model says where they are, with backend.kind "embedded" or "vllm".');
  setPriority(constants.priority.PRIORITY_BELOW_NORMAL);
  using db = openDatabase(config.dataDir, config.store);
  // One that was told to end, or whose server was killed, may still be computing.
  using lock = await acquireLock(db.dataDir, 'trainer', signal, () => { console.error('trainer: another trainer is at work in this data directory; waiting for its end'); });
  if (lock === null) return;
  recoverRunningRounds(db, mostInterruptions);
  const isShared = config.backend.kind === 'vllm' && config.backend.sleepWhileTraining;
  // A trainer that died holds nothing any more.
  if (isShared) setAcceleratorState(db, 'serving');
  sweepPolicies(db.dataDir, new Set(listPolicies(db).map((policy) => policy.version)));
  const model = await openModel(trained);
  ensureBasePolicy(db, model.fingerprint);
  const policies = keepWarm(model, join(db.dataDir, 'cache'));
  const parts = { db, model: model.fingerprint, sampler: config.backend, trainer: config.trainer, openPolicy: policies.open };
  /** Where it is shared, nothing stays on it from round to round. */
  const accelerator = async () => (isShared ? borrowAccelerator({ db, pollMs: config.trainer.pollMs, signal, free: policies.close }) : null);
  try {
    onReady();
    for await (const _ of watchChanges(db, config.trainer.pollMs, signal)) {
      for (let round = claimRound(db); round !== undefined; round = signal.aborted ? undefined : claimRound(db)) await perform({ ...parts, accelerator }, round, signal);
    }
  } finally {
    await policies.close();
    model.weights.close();
  }
}

/** Whatever goes wrong in a round ends that round, not the trainer. */
async function perform({ accelerator, ...parts }: Omit<RoundParts, 'progress'> & { readonly accelerator: () => Promise<AsyncDisposable | null> }, round: Round, signal: AbortSignal): Promise<void> {
  const { db } = parts;
  try {
    await using _ = await accelerator();
    await runRound({ ...parts, progress: trackProgress((at) => { setRoundProgress(db, round.id, at); }, signal) }, round);
  } catch (error) {
    const code = error instanceof TrainerError ? error.code : undefined;
    // Planned as it is, the next trainer goes on with it.
    if (code === 'stopped') return putRoundBack(db, round.id);
    const message = error instanceof Error ? error.message : String(error);
    finishRound(db, round.id, { state: code !== undefined && rejections.has(code) ? 'rejected' : 'failed', error: message });
    if (error instanceof TrainerError && error.stepId !== undefined) leaveOutStep(db, round.id, error.stepId, 'not_finite' satisfies LeftOutReason);
    // An error with a code is a sentence for the user; anything else is a bug, and its stack says where.
    if (!(error instanceof Error && 'code' in error)) console.error(error);
  }
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
      const { method, lora, optimizer, device, threads, recompute, maxMemoryMb } = config;
      // The loss is part of the graph; how advantages are computed is not.
      const key = JSON.stringify([method, lora, optimizer, device, threads, recompute, maxMemoryMb, algorithmOf(config).loss]);
      if (warm?.key !== key) {
        await close();
        warm = { key, policy: await openTrainingPolicy({ model, config, cacheDir }) };
      }
      return warm.policy;
    },
    close,
  };
}
