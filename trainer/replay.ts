/** A round run again from its rows: does it give the bytes that were published? Reads the database and writes nothing that stays. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TrainerConfig } from '../config/schema.ts';
import type { Database } from '../store/open.ts';
import { findPolicy } from '../store/policies.ts';
import { listRoundSteps } from '../store/round-steps.ts';
import { requireRound, type Round } from '../store/rounds.ts';
import type { RoundEnvironment } from '../store/schema.ts';
import { compareTensors } from './compare-tensors.ts';
import { environment } from './environment.ts';
import { TrainerError } from './error.ts';
import { policyVersion, type TrainingPolicy } from './policy.ts';
import { hashFiles, verifyPolicy } from './publish.ts';
import { sharesOf } from './round.ts';
import { recordedPlan, type RoundPlan } from './round-plan.ts';
import type { RoundProgress } from './round-progress.ts';
import { trainPolicy } from './training.ts';
import { buildTrainingSet } from './training-set.ts';
import { weighTrainingSet, type WeightedSet } from './weighted-set.ts';

export interface ReplayParts {
  readonly db: Database;
  readonly openPolicy: (config: TrainerConfig) => Promise<TrainingPolicy>;
  readonly progress: RoundProgress;
}

export interface Replay {
  readonly round: Round;
  readonly steps: number;
  /** Every tensor file of the published policy. */
  readonly files: readonly ReplayedFile[];
  readonly same: boolean;
  /** What is not as it was, in words; empty where nothing was found to explain a difference. */
  readonly differences: readonly string[];
}

export interface ReplayedFile {
  readonly name: string;
  /** SHA-256; null where the replay wrote no such file. */
  readonly published: string;
  readonly replayed: string | null;
}

/**
 * @throws StoreError `unknown_round`; TrainerError `not_replayable` where the round published nothing or its rows do not say enough,
 * `changed` where steps are gone or not what they were, `corrupt_policy` where its own or its base version's files are not
 */
export async function replayRound({ db, openPolicy, progress }: ReplayParts, id: number): Promise<Replay> {
  const round = requireRound(db, id);
  const { plan, directory, files: published } = replayable(db, round);
  progress.phase('select');
  const policy = await openPolicy(plan.config);
  policy.load(policyVersion(db, plan.baseVersion), plan.seed);
  const context = { config: plan.config, policy, progress };
  const set = await weighTrainingSet(context, buildTrainingSet(plan.selected, plan.rewards, plan.config, plan.seed));
  const differences = [...changedShares(db, round, set), ...changedEnvironment(round.environment)];
  await trainPolicy(context, set);

  const scratch = mkdtempSync(join(tmpdir(), 'fulgurite-replay-'));
  try {
    policy.write(scratch);
    const replayed = hashFiles(scratch);
    const files = Object.entries(published).filter(([name]) => name.endsWith('.safetensors'))
      .map(([name, hash]) => ({ name, published: hash, replayed: replayed[name] ?? null }));
    const unequal = files.filter((file) => file.replayed !== file.published);
    for (const { name } of unequal.filter((file) => file.replayed !== null)) differences.push(compareTensors(join(directory, name), join(scratch, name)));
    return { round, steps: set.steps.length, files, same: unequal.length === 0, differences: unequal.length === 0 ? [] : differences };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function replayable(db: Database, round: Round): { plan: RoundPlan; directory: string; files: Readonly<Record<string, string>> } {
  const refuse = (why: string): TrainerError => new TrainerError('not_replayable', `Round ${round.id} ${why}.`);
  if (round.resultVersion === null) throw refuse(`is ${round.state} and published nothing, so there is nothing to compare with`);
  const plan = recordedPlan(db, round);
  if (plan === null) throw refuse('was made before rounds were planned in their rows, so its steps and rewards are not known exactly');
  const version = policyVersion(db, round.resultVersion);
  if (version.directory === null) throw refuse(`made version ${version.version}, which has no files`);
  const { files } = verifyPolicy(version.directory);
  const recorded = findPolicy(db, version.version)?.sha256;
  if (recorded !== undefined && recorded !== null && !Object.values(files).includes(recorded)) throw new TrainerError('corrupt_policy', `The files of version ${version.version} are not those that round ${round.id} published.`);
  return { plan, directory: version.directory, files };
}

/** Credits and advantages follow from rewards: where a row of them was changed or removed, these are others. */
function changedShares(db: Database, round: Round, set: WeightedSet): string[] {
  const recorded = new Map(listRoundSteps(db, round.id, { limit: set.steps.length, used: true }).items.map((row) => [row.stepId, row]));
  return sharesOf(set).flatMap((share) => (['credit', 'advantage', 'weight'] as const)
    .filter((name) => recorded.get(share.stepId)?.[name] !== share[name])
    .map((name) => `the ${name} of step ${share.stepId} was ${recorded.get(share.stepId)?.[name]} and is ${share[name]} now`));
}

function changedEnvironment(recorded: RoundEnvironment | null): string[] {
  const now = environment();
  return (['onnxruntime', 'platform', 'cpu'] as const).filter((name) => recorded?.[name] !== now[name])
    .map((name) => `${name} was ${recorded?.[name] ?? 'not recorded'} and is ${now[name]} now`);
}
